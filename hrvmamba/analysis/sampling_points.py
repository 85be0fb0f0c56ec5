"""Where deformable sampling looks from one token, and with what weights."""

from typing import NamedTuple

from torch import Tensor

from hrvmamba.ops.deform_sample import OFFSET_MASK_CHANNELS, POINTS, regular_points


class SamplingPoints(NamedTuple):
    """The sampling points of one token, for G groups of 9.

    Attributes:
        positions: ``(G, 9, 2)``, x and y in tokens of the map: (0, 0) is the centre of the first.
        masks: ``(G, 9)``, the weights, of either sign.
    """

    positions: Tensor
    masks: Tensor


def sampling_points(offset_mask: Tensor, groups: int, query: tuple[int, int]) -> SamplingPoints:
    """Take the points of one token from what :func:`hrvmamba.ops.deform_sample` is given.

    Args:
        offset_mask: of one sample, ``(H, W, >= 27*groups)``.
        groups: number of groups G.
        query: row and column of the token.
    """
    row, column = query
    columns = offset_mask[row, column, : groups * OFFSET_MASK_CHANNELS]
    grouped = columns.unflatten(0, (groups, OFFSET_MASK_CHANNELS))
    offsets = grouped[:, : 2 * POINTS].unflatten(-1, (POINTS, 2))
    token = offsets.new_tensor([column, row])
    points = regular_points(offsets.dtype, offsets.device)
    return SamplingPoints(token + points + offsets, grouped[:, 2 * POINTS :])
