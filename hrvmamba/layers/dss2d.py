"""DSS2D: the deformable selective scan of a DVSS block."""

import math

import torch
from torch import Tensor, nn

from hrvmamba.layers.depthwise_conv import DepthwiseConv
from hrvmamba.layers.ss2d import SS2D
from hrvmamba.ops import deform_sample
from hrvmamba.ops.deform_sample import OFFSET_MASK_CHANNELS


class DSS2D(SS2D):
    """SS2D with deformable sampling: nine points around each position, moved and weighted.

    With C channels, the inner width is D = 2C and ``dt_rank`` R = ceil(C / 16), which is also the
    number of sampling groups (paper, section 3.2).

    Args:
        channels: C.
        d_state: N, the state's size for each channel.
        use_se: scale the normalised scan by squeeze and excitation (Nano and Tiny).
        use_offset_conv: a 3x3 depthwise convolution ahead of the offset projection (Base).
        drop_rate: dropout probability after the output projection, in [0, 1].

    Raises:
        ValueError: D is not divisible by the number of sampling groups.
    """

    def __init__(
        self,
        channels: int,
        d_state: int = 1,
        use_se: bool = False,
        use_offset_conv: bool = False,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__(
            channels, d_state=d_state, dilations=None, use_se=use_se, drop_rate=drop_rate
        )
        self.groups = self.dt_rank
        if self.d_inner % self.groups:
            raise ValueError(
                f"channels must make D = 2*channels divisible by ceil(channels / 16) sampling "
                f"groups, got {channels}: D = {self.d_inner}, {self.groups} groups"
            )
        self.offset_conv = DepthwiseConv(self.d_inner, 3) if use_offset_conv else nn.Identity()
        offset_mask_channels = math.ceil(self.groups * OFFSET_MASK_CHANNELS / 8) * 8
        self.offset_mask = nn.Linear(self.d_inner, offset_mask_channels)
        self.reset_offset_mask()

    @torch.no_grad()
    def reset_offset_mask(self) -> None:
        """Initialise the offsets and masks to zero."""
        nn.init.zeros_(self.offset_mask.weight)
        nn.init.zeros_(self.offset_mask.bias)

    def sample(self, value: Tensor) -> Tensor:
        """Map the values ``(B, H, W, D)`` to the scan's input, of the same shape, after a SiLU."""
        offset_mask = self.offset_mask(self.offset_conv(value))
        return deform_sample(value, offset_mask, self.groups, activation="silu")
