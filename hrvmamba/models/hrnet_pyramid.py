"""What the paper puts between HRVMamba's branches and a segmentation head."""

from collections.abc import Sequence

from torch import Tensor, nn

from hrvmamba.models.conv_norm import NormLayer
from hrvmamba.models.hrnet_neck import HRNetNeck


class HRNetPyramid(HRNetNeck):
    """The four maps inside HRNet's classification neck, each normalised over its channels.

    So segmentation starts from the classifier's neck as well as from its backbone (authors'
    release; the parameters and cost of the paper's Table VI include it).

    Args:
        in_channels: widths of the four branches, finest first.
        norm_layer: makes the normalisation that follows each convolution from its channels.

    Raises:
        ValueError: ``in_channels`` does not hold four widths.
    """

    def __init__(self, in_channels: Sequence[int], norm_layer: NormLayer = nn.BatchNorm2d) -> None:
        super().__init__(in_channels, norm_layer=norm_layer)
        self.out_channels = (*(widen.out_channels for widen in self.widen[:-1]), self.out_channels)
        self.norms = nn.ModuleList(map(nn.LayerNorm, self.out_channels))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Turn the branches' maps, NCHW, finest first, into maps of the same sizes.

        Returns:
            Maps of 128, 256, 512 and 2048 channels, with a mean of 0 and a variance of 1 over them
            at each position before the norms' scale and shift.

        Raises:
            ValueError: the maps are not four, or have other channels.
        """
        return tuple(
            norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            for norm, x in zip(self.norms, self.fuse(maps), strict=True)
        )
