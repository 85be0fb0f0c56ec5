"""The 2D selective scan through mamba-ssm's kernel, to check and time ours against."""

import torch
from torch import Tensor

from hrvmamba.ops.paths import Paths
from hrvmamba.ops.precision import no_autocast


def selective_scan_2d_mamba_ssm(
    u: Tensor, ssm_params: Tensor, dt_weight: Tensor, dt_bias: Tensor, A_log: Tensor, D: Tensor
) -> Tensor:
    """:func:`selective_scan_2d`, for unchecked arguments, by ``selective_scan_fn``.

    That kernel takes channels first and walks tokens in memory order, so that the four paths of u,
    dt, B and C are laid out in memory for it.
    """
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    batch, height, width, channels = u.shape
    directions, _, dt_rank = dt_weight.shape
    d_state = A_log.shape[-1]
    paths = Paths(height, width, u.device)
    with no_autocast(u.device):
        params = paths.walk_each(ssm_params.float().flatten(1, 2))  # (K, B, L, R + 2N)
        dt_low, B, C = params.split((dt_rank, d_state, d_state), -1)
        dt = torch.einsum("kblr,kdr->bkdl", dt_low, dt_weight.float())
        y = selective_scan_fn(
            paths.walk(u.float().flatten(1, 2)).permute(1, 0, 3, 2).flatten(1, 2).contiguous(),
            dt.flatten(1, 2).contiguous(),
            -torch.exp(A_log.float()).flatten(0, 1),
            B.permute(1, 0, 3, 2).contiguous(),
            C.permute(1, 0, 3, 2).contiguous(),
            D.float().flatten(),
            delta_bias=dt_bias.float().flatten(),
            delta_softplus=True,
        )  # (B, K*D, L)
        y = y.view(batch, directions, channels, height * width).permute(1, 0, 3, 2)
        return paths.merge(y).view_as(u).to(u.dtype)
