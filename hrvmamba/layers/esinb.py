"""ESInB: the efficient shuffled Inception branch of a DVSS block."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrvmamba.layers.depthwise_conv import DepthwiseConv

KERNEL_SIZES = (3, 5, 7, 9)


class ESInB(nn.Module):
    """Depthwise convolutions of four sizes, one for each quarter of the channels, shuffled.

    ``GELU(shuffle(concat_g DWConv_{2g+1}(split_g(x))))``, g = 1..4 (paper, section 3.2).

    Args:
        channels: C, divisible by 4.

    Raises:
        ValueError: ``channels`` is not divisible by 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        groups = len(KERNEL_SIZES)
        if channels % groups:
            raise ValueError(f"channels must be divisible by {groups}, got {channels}")
        self.convs = nn.ModuleList(DepthwiseConv(channels // groups, k) for k in KERNEL_SIZES)

    def forward(self, x: Tensor) -> Tensor:
        """Map x ``(B, H, W, C)``, already normalised, to ``(B, H, W, C)``."""
        splits = x.chunk(len(self.convs), -1)
        maps = [conv(split) for conv, split in zip(self.convs, splits, strict=True)]
        # Stacking on a last axis interleaves the groups: ShuffleNet's shuffle of their concat.
        return F.gelu(torch.stack(maps, -1).flatten(-2))
