"""HRVMamba with HRNet's classification head, as it is pretrained on ImageNet."""

from collections import OrderedDict

from torch import Tensor, nn

from hrvmamba.layers import DSS2D
from hrvmamba.models.conv_norm import NormLayer
from hrvmamba.models.hrnet_neck import HRNetNeck
from hrvmamba.models.hrvmamba import Arch, HRVMamba

_LINEAR_STD = 0.02


class HRVMambaClassifier(nn.Module):
    """The HRVMamba image classifier (paper, Table V).

    Its parameters have the names that MMPretrain's ImageClassifier gives them, so that a checkpoint
    of either loads into the other.

    Args:
        arch: a preset's name, an :class:`Arch`, or its fields as a dict.
        num_classes: number of classes.
        norm_layer: makes the normalisation that follows each convolution from its channels.
        options: further ones of :class:`HRVMamba`, but for ``out_indices`` and ``esinb_drop_path``.

    Raises:
        TypeError: an unknown option.
        ValueError: an unknown preset, or a value outside its range.
    """

    def __init__(
        self,
        arch: str | dict | Arch = "small",
        num_classes: int = 1000,
        norm_layer: NormLayer = nn.BatchNorm2d,
        **options: object,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        self.backbone = HRVMamba(
            arch,
            out_indices=(0, 1, 2, 3),
            esinb_drop_path=True,
            norm_layer=norm_layer,
            **options,
        )
        self.neck = HRNetNeck(self.backbone.out_channels, norm_layer=norm_layer)
        # MMPretrain's LinearClsHead calls its only layer fc.
        self.head = nn.Sequential(OrderedDict(fc=nn.Linear(self.neck.out_channels, num_classes)))
        self._init_weights()

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(B, in_channels, H, W)``, at least 32x32, to logits ``(B, num_classes)``."""
        return self.head(self.neck(self.backbone(x)))

    def _init_weights(self) -> None:
        """Initialise convolutions as MMPretrain does HRNet's, linear layers as transformers'."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=_LINEAR_STD)
            else:
                continue
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, DSS2D):
                module.reset_offset_mask()
