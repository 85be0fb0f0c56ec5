"""A convolution and its normalisation, of which all of HRNet is made."""

from collections.abc import Callable

from torch import nn

NormLayer = Callable[[int], nn.Module]
"""Makes the normalisation of a number of channels."""


def conv_norm(
    in_channels: int,
    out_channels: int,
    norm_layer: NormLayer,
    kernel_size: int = 3,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """A convolution without bias, padded to keep the size at stride 1, and its normalisation."""
    return nn.Sequential(
        nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=False,
        ),
        norm_layer(out_channels),
    )


def conv_norm_relu(
    in_channels: int,
    out_channels: int,
    norm_layer: NormLayer,
    kernel_size: int = 3,
    stride: int = 1,
) -> nn.Sequential:
    """A convolution, its normalisation and a ReLU."""
    return conv_norm(in_channels, out_channels, norm_layer, kernel_size, stride).append(nn.ReLU())
