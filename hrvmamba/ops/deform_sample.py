"""Deformable sampling with modulated 3x3 points, without value or output projections."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hrvmamba.ops.backend import runs_native
from hrvmamba.ops.checks import check_same_device, check_tensor
from hrvmamba.ops.precision import compute_dtype

POINTS = 9
"""Sampling points of a group: a 3x3 neighbourhood."""

OFFSET_MASK_CHANNELS = 3 * POINTS
"""Columns that a group takes of ``offset_mask``: 9 pairs (dx, dy), then 9 masks."""


ACTIVATIONS = (None, "silu")
"""What may follow the sampling."""


def deform_sample(
    value: Tensor, offset_mask: Tensor, groups: int, activation: str | None = None
) -> Tensor:
    """Sample a map at nine moved points around each position and add the samples up, weighted.

    For every group g and position p of the map::

        out_g(p) = sum_k mask_gk(p) * value_g(p + p_k + offset_gk(p)),    k = 0..8

    where the points p_k run over {-1, 0, 1} x {-1, 0, 1}, dx in the outer loop and dy in the inner
    one. Samples are bilinear; each of the four corners that lies outside the map counts zero.
    (Paper, section 3.2; the sampling of DCNv4 without softmax or projections.)

    Args:
        value: ``(B, H, W, D)``; group g is channels ``g*D/groups`` to ``(g+1)*D/groups - 1``.
        offset_mask: ``(B, H, W, >= 27*groups)``. Column ``27g + 2k`` is dx (along W) of point k of
            group g, ``27g + 2k + 1`` its dy, both in pixels and unbounded; ``27g + 18 + k`` is its
            mask, unbounded. Further columns are padding and are not read.
        groups: number of groups; divides D.
        activation: ``None``, or ``"silu"`` to return ``SiLU(out)``.

    Returns:
        ``(B, H, W, D)``, of the type of ``value``. Half types are computed in float32. The same
        arguments give the same bits, forward and backward, with any number of threads; on CUDA the
        gradient of ``value`` does where ``torch.use_deterministic_algorithms(True)`` asks for it,
        and is quicker where not.

    Raises:
        TypeError: an argument is not a floating tensor, or ``groups`` is not an int.
        ValueError: an argument's shape does not fit, the devices differ, or ``activation`` is not
            one of these.
    """
    check_tensor("value", value, [("B", None), ("H", None), ("W", None), ("D", None)])
    batch, height, width, channels = value.shape
    if not isinstance(groups, int):
        raise TypeError(f"groups must be an int, got {type(groups).__name__}")
    if groups < 1 or channels % groups:
        raise ValueError(f"groups must divide the D = {channels} channels of value, got {groups}")
    columns = groups * OFFSET_MASK_CHANNELS
    check_tensor(
        "offset_mask",
        offset_mask,
        [("B", batch), ("H", height), ("W", width), (f">= 27*groups = {columns}", None)],
    )
    if offset_mask.shape[-1] < columns:
        raise ValueError(
            f"offset_mask must have at least 27*groups = {columns} columns, "
            f"got {offset_mask.shape[-1]}"
        )
    check_same_device(value=value, offset_mask=offset_mask)
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {ACTIVATIONS}, got {activation!r}")
    if runs_native(value.device, compute_dtype(value, offset_mask)):
        return torch.ops.hrvmamba.deform_sample(value, offset_mask, groups, activation == "silu")
    out = deform_sample_reference(value, offset_mask, groups)
    return F.silu(out) if activation == "silu" else out


def deform_sample_reference(value: Tensor, offset_mask: Tensor, groups: int) -> Tensor:
    """:func:`deform_sample` in plain PyTorch ops, for unchecked arguments."""
    batch, height, width, channels = value.shape
    if value.numel() == 0:  # grid_sample takes no empty maps; this keeps the graph
        return value * offset_mask.sum()
    dtype = compute_dtype(value, offset_mask)
    device = value.device

    grouped = offset_mask[..., : groups * OFFSET_MASK_CHANNELS].to(dtype)
    grouped = grouped.reshape(batch, height * width, groups, OFFSET_MASK_CHANNELS)
    grouped = grouped.transpose(1, 2).reshape(batch * groups, height * width, OFFSET_MASK_CHANNELS)
    offset = grouped[..., : 2 * POINTS].unflatten(-1, (POINTS, 2))
    mask = grouped[..., 2 * POINTS :]

    rows = torch.arange(height, dtype=dtype, device=device)
    columns = torch.arange(width, dtype=dtype, device=device)
    position = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).view(-1, 1, 2)
    point = regular_points(dtype, device)
    # grid_sample (align_corners=False) puts the centre of pixel i at (2i + 1)/size - 1.
    size = torch.tensor([width, height], dtype=dtype, device=device)
    grid = (2 * (position + point + offset) + 1) / size - 1

    maps = value.to(dtype).view(batch, height, width, groups, -1).permute(0, 3, 4, 1, 2)
    maps = maps.reshape(batch * groups, channels // groups, height, width)
    samples = F.grid_sample(maps, grid, padding_mode="zeros", align_corners=False)
    out = (samples * mask.unsqueeze(1)).sum(-1)
    out = out.view(batch, channels, height, width).permute(0, 2, 3, 1)
    return out.contiguous().to(value.dtype)


def regular_points(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The points p_k, ``(9, 2)``: dx and dy from the position sampled for, without offsets."""
    steps = torch.arange(-1, 2, dtype=dtype, device=device)
    return torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).view(POINTS, 2)
