"""What HRNet puts between its branches and the linear layer that classifies."""

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from hrvmamba.models.conv_norm import NormLayer, conv_norm_relu
from hrvmamba.models.hrvmamba import Bottleneck

_WIDTHS = (32, 64, 128, 256)  # of the branches' bottlenecks


class HRNetNeck(nn.Module):
    """HRNet's classification neck (arXiv 1908.07919): widen, fuse downwards and pool.

    Each branch passes a :class:`Bottleneck`, to 128, 256, 512 and 1024 channels. From the finest
    on, the sum so far is halved by a 3x3 convolution and added to the next branch; a 1x1
    convolution follows, and the mean over all positions.

    Args:
        in_channels: widths of the four branches, finest first.
        out_channels: length of the feature vector.
        norm_layer: makes the normalisation that follows each convolution from its channels.

    Raises:
        ValueError: ``in_channels`` does not hold four widths.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 2048,
        norm_layer: NormLayer = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.in_channels = tuple(in_channels)
        self.out_channels = out_channels
        if len(self.in_channels) != len(_WIDTHS):
            raise ValueError(f"in_channels must hold 4 widths, got {self.in_channels}")
        self.widen = nn.ModuleList(
            Bottleneck(channels, width, norm_layer)
            for channels, width in zip(self.in_channels, _WIDTHS, strict=True)
        )
        widened = [bottleneck.out_channels for bottleneck in self.widen]
        self.down = nn.ModuleList(
            conv_norm_relu(fine, coarse, norm_layer, stride=2)
            for fine, coarse in itertools.pairwise(widened)
        )
        self.final = conv_norm_relu(widened[-1], out_channels, norm_layer, kernel_size=1)

    def fuse(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Widen the branches' maps, NCHW, finest first, and fuse them downwards.

        Returns:
            The sum at each branch, with 128, 256 and 512 channels, and what the 1x1 convolution
            makes of the last one.

        Raises:
            ValueError: the maps are not four, or have other channels.
        """
        channels = tuple(x.shape[1] for x in maps)
        if channels != self.in_channels:
            raise ValueError(f"maps must have {self.in_channels} channels, got {channels}")
        total, *rest = (widen(x) for widen, x in zip(self.widen, maps, strict=True))
        totals = [total]
        for down, x in zip(self.down, rest, strict=True):
            totals.append(down(totals[-1]) + x)
        return [*totals[:-1], self.final(totals[-1])]

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Turn the branches' maps into vectors ``(B, out_channels)``; see :meth:`fuse`."""
        return F.adaptive_avg_pool2d(self.fuse(maps)[-1], 1).flatten(1)
