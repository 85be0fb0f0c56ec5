"""LPU: the local perception unit of the Nano and Tiny presets."""

from torch import Tensor

from hrvmamba.layers.depthwise_conv import DepthwiseConv


class LPU(DepthwiseConv):
    """A 3x3 depthwise convolution with a residual: ``x + DWConv3x3(x)``.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, kernel_size=3)

    def forward(self, x: Tensor) -> Tensor:
        """Map x ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        return x + super().forward(x)
