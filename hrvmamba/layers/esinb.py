"""ESInB: the enhanced spatial inductive bias of a DVSS block."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrvmamba.layers.depthwise_conv import DepthwiseConv

KERNEL_SIZES = (3, 5, 7, 9)
"""The paper's."""


class ESInB(nn.Module):
    """Depthwise convolutions of several sizes, each on its share of the channels, shuffled.

    ``GELU(shuffle(concat_g DWConv_{2g+1}(split_g(x))))``, g = 1..4 (paper, section 3.2).

    Args:
        channels: C, divisible by the number of kernels.
        kernel_sizes: sides of the kernels, odd.

    Raises:
        ValueError: a kernel's size is not odd, or ``channels`` is not divisible by their number.
    """

    def __init__(self, channels: int, kernel_sizes: Sequence[int] = KERNEL_SIZES) -> None:
        super().__init__()
        groups = len(kernel_sizes)
        if not groups or not all(isinstance(k, int) and k > 0 and k % 2 for k in kernel_sizes):
            raise ValueError(
                f"ESInB's kernel_sizes must hold odd positive integers, such as {KERNEL_SIZES}, "
                f"got {kernel_sizes}"
            )
        if channels % groups:
            raise ValueError(f"channels must be divisible by {groups}, got {channels}")
        self.convs = nn.ModuleList(DepthwiseConv(channels // groups, k) for k in kernel_sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Map x ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        splits = x.chunk(len(self.convs), -1)
        maps = [conv(split) for conv, split in zip(self.convs, splits, strict=True)]
        # Stacking on a last axis interleaves the groups: ShuffleNet's shuffle of their concat.
        return F.gelu(torch.stack(maps, -1).flatten(-2))
