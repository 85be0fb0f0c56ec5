"""A depthwise convolution of a channels-last map."""

from torch import Tensor, nn


class DepthwiseConv(nn.Conv2d):
    """Depthwise convolution that keeps the map's size.

    Args:
        channels: C.
        kernel_size: side of the kernel, odd.
        dilation: steps between the kernel's points, in pixels.
        bias: whether it has one.
    """

    def __init__(
        self, channels: int, kernel_size: int, dilation: int = 1, bias: bool = True
    ) -> None:
        super().__init__(
            channels,
            channels,
            kernel_size,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            groups=channels,
            bias=bias,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
