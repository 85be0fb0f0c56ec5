"""A depthwise convolution of a channels-last map."""

from torch import Tensor, nn


class DepthwiseConv(nn.Conv2d):
    """Depthwise convolution with bias that keeps the map's size.

    Args:
        channels: C.
        kernel_size: side of the kernel, odd.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
