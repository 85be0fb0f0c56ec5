"""HRVMamba in MMEngine's root registry, where MMPose, MMPretrain and MMSegmentation find it."""

from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from hrvmamba import models
from hrvmamba.checkpoints import load_state_dict
from hrvmamba.checkpoints.reading import state_dict_of


@MODELS.register_module()
class HRVMamba(models.HRVMamba, BaseModule):
    """:class:`hrvmamba.models.HRVMamba` with the options that OpenMMLab's backbones share.

    Args:
        arch: a preset's name, or the fields of :class:`hrvmamba.models.Arch` as a dict.
        norm_cfg: the normalisation that follows each convolution, e.g. ``dict(type='SyncBN')``.
        init_cfg: ``dict(type='Pretrained', checkpoint=..., prefix=...)`` loads weights, the
            authors' files among them, and refuses a file that does not fit; other initialisers
            are MMEngine's.
        options: of :class:`hrvmamba.models.HRVMamba`.
    """

    def __init__(
        self,
        arch: str | dict = "small",
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
        **options: object,
    ) -> None:
        if norm_cfg is not None:
            options["norm_layer"] = lambda channels: _build_norm(norm_cfg, channels)
        super().__init__(arch, **options)
        self.init_cfg = init_cfg

    def init_weights(self) -> None:
        """Load the weights of a ``Pretrained`` init_cfg, or run MMEngine's initialisers."""
        cfg = self.init_cfg
        if not isinstance(cfg, dict) or cfg.get("type") not in ("Pretrained", "PretrainedInit"):
            super().init_weights()
            return
        path = cfg["checkpoint"]
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location="cpu")
        report = load_state_dict(
            self, state_dict_of(checkpoint), cfg.get("prefix"), source=f"checkpoint {path}"
        )
        print_log(f"HRVMamba from {path}: {report}", logger="current")
        self._is_init = True


def _build_norm(norm_cfg: dict, channels: int) -> nn.Module:
    from mmcv.cnn import build_norm_layer

    return build_norm_layer(norm_cfg, channels)[1]
