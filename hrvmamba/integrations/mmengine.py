"""HRVMamba, its necks and VMamba in MMEngine's root registry, where all of OpenMMLab looks."""

import copy
from collections.abc import Mapping, Sequence

from mmengine.logging import print_log
from mmengine.model import BaseModule, PretrainedInit
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from hrvmamba import models
from hrvmamba.checkpoints import load_state_dict
from hrvmamba.checkpoints.reading import state_dict_of
from hrvmamba.integrations.config import as_list
from hrvmamba.layers import DSS2D
from hrvmamba.models.conv_norm import NormLayer


@MODELS.register_module()
class HRVMamba(models.HRVMamba, BaseModule):
    """:class:`hrvmamba.models.HRVMamba` with the options that OpenMMLab's backbones share.

    Args:
        arch: a preset's name, or the fields of :class:`hrvmamba.models.Arch` as a dict.
        norm_cfg: the normalisation that follows each convolution, e.g. ``dict(type='SyncBN')``.
        init_cfg: ``dict(type='Pretrained', checkpoint=..., prefix=...)`` loads weights, the
            authors' files among them, and refuses a file that does not fit; other initialisers
            are MMEngine's, and run before it if a list has both.
        options: of :class:`hrvmamba.models.HRVMamba`, but for ``norm_layer``.

    Whatever initialises linear layers, DSS2D's offsets and masks start at zero.

    Raises:
        TypeError: an unknown option.
        ValueError: an unknown preset or norm, or a value outside its range.
    """

    _REPLACED_OPTIONS = ("norm_layer",)

    def __init__(
        self,
        arch: str | dict = "small",
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
        **options: object,
    ) -> None:
        if "norm_layer" in options:
            raise TypeError(
                "HRVMamba takes no norm_layer here: give norm_cfg, such as dict(type='SyncBN')"
            )
        super().__init__(arch, **options, **_norm_layer(norm_cfg))
        self.init_cfg = copy.deepcopy(init_cfg)

    def init_weights(self) -> None:
        """Run MMEngine's initialisers, then load the weights of ``Pretrained`` ones."""
        init_cfg = self.init_cfg
        others = [cfg for cfg in as_list(init_cfg) if not _is_pretrained(cfg)]
        if others or not init_cfg:
            self.init_cfg = others
            super().init_weights()
            self.init_cfg = init_cfg
        for module in self.modules():
            if isinstance(module, DSS2D):
                module.reset_offset_mask()
        self.load_pretrained()
        self._is_init = True

    def load_pretrained(self) -> None:
        """Load the weights of init_cfg's ``Pretrained`` entries, if it has any.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: an entry names no checkpoint, or one that cannot be read or does not fit.
        """
        for cfg in filter(_is_pretrained, as_list(self.init_cfg)):
            if not cfg.get("checkpoint"):
                raise ValueError(f"init_cfg of type Pretrained needs a 'checkpoint', got {cfg}")
            load_weights(self, cfg["checkpoint"], cfg.get("prefix"))


@MODELS.register_module()
class HRNetNeck(models.HRNetNeck):
    """:class:`hrvmamba.models.HRNetNeck` as MMPretrain's ImageClassifier takes its neck.

    Args:
        in_channels: widths of the four branches, finest first.
        out_channels: length of the feature vector, the ``in_channels`` of a LinearClsHead.
        norm_cfg: the normalisation that follows each convolution, e.g. ``dict(type='SyncBN')``.

    Raises:
        ValueError: ``in_channels`` does not hold four widths, or an unknown norm.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 2048,
        norm_cfg: dict | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, **_norm_layer(norm_cfg))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor]:
        """Turn the branches' maps into a tuple of one ``(B, out_channels)``."""
        return (super().forward(maps),)


@MODELS.register_module()
class HRNetPyramid(models.HRNetPyramid):
    """:class:`hrvmamba.models.HRNetPyramid` as MMSegmentation's EncoderDecoder takes its neck.

    Args:
        in_channels: widths of the four branches, finest first.
        norm_cfg: the normalisation that follows each convolution, e.g. ``dict(type='SyncBN')``.

    Raises:
        ValueError: ``in_channels`` does not hold four widths, or an unknown norm.
    """

    def __init__(self, in_channels: Sequence[int], norm_cfg: dict | None = None) -> None:
        super().__init__(in_channels, **_norm_layer(norm_cfg))


@MODELS.register_module()
class VMamba(models.VMamba, BaseModule):
    """:class:`hrvmamba.models.VMamba` with the option that OpenMMLab's backbones share.

    Args:
        arch: a preset's name, or the fields of :class:`hrvmamba.models.vmamba.Arch` as a dict.
        init_cfg: MMEngine's initialisers.
        options: of :class:`hrvmamba.models.VMamba`.

    Raises:
        TypeError: an unknown option.
        ValueError: an unknown preset, or a value outside its range.
    """

    def __init__(
        self,
        arch: str | dict = "tiny",
        init_cfg: dict | list[dict] | None = None,
        **options: object,
    ) -> None:
        super().__init__(arch, **options)
        self.init_cfg = copy.deepcopy(init_cfg)


def load_weights(
    backbone: models.HRVMamba, path: str, prefix: str | None = None
) -> Mapping[str, Tensor]:
    """Load into a backbone what one of MMEngine's loaders finds at a path or URL.

    Returns:
        The whole state dict found there.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, or does not fit the backbone.
    """
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location="cpu")
    state_dict = state_dict_of(checkpoint)
    report = load_state_dict(backbone, state_dict, prefix, source=f"checkpoint {path}")
    print_log(f"HRVMamba from {path}: {report}", logger="current")
    return state_dict


def _is_pretrained(cfg: dict) -> bool:
    return cfg.get("type") in ("Pretrained", PretrainedInit)


def _norm_layer(norm_cfg: dict | None) -> dict[str, NormLayer]:
    """The core's option norm_layer for an OpenMMLab norm_cfg; none leaves the core's own."""
    if norm_cfg is None:
        return {}
    return {"norm_layer": lambda channels: _build_norm(norm_cfg, channels)}


def _build_norm(norm_cfg: dict, channels: int) -> nn.Module:
    from mmcv.cnn import build_norm_layer

    try:
        return build_norm_layer(norm_cfg, channels)[1]
    except KeyError as error:
        raise ValueError(
            "norm_cfg must have a known type, such as BN, SyncBN or GN (with num_groups), "
            f"got {norm_cfg}"
        ) from error
