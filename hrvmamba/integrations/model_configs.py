"""The model that a config names, and the weights that it is to start from."""

import copy
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from hrvmamba.checkpoints.posevmamba import BACKBONE
from hrvmamba.integrations.config import ConfigError
from hrvmamba.integrations.mmengine import HRVMamba, load_weights
from hrvmamba.models import HRNetNeck


def build_model(config: Config) -> nn.Module:
    """Build the config's model, as MMEngine's runner does.

    Raises:
        ConfigError: If it cannot be built.
    """
    model = copy.deepcopy(config.model)  # some models write into their options
    if config.get("data_preprocessor") is not None:
        model.setdefault("data_preprocessor", copy.deepcopy(config.data_preprocessor))
    try:
        with MODELS.switch_scope_and_registry(config.default_scope) as models:
            return models.build(model)
    except (AssertionError, ImportError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the model cannot be built: {error}") from error


def check_channels(
    option: str, taken: int | Sequence[int], source: str, given: int | Sequence[int]
) -> None:
    """Check that a part of the model takes the channels that the part ahead of it gives.

    Args:
        option: The config's name of what it takes, such as ``model.head.in_channels``.
        taken: The channels that it takes.
        source: What the part ahead is called.
        given: The channels that that gives.

    Raises:
        ConfigError: If they differ.
    """
    taken, given = (
        str(channels if isinstance(channels, int) else tuple(channels)).replace(" ", "")
        for channels in (taken, given)
    )
    if taken != given:
        raise ConfigError(
            f"{option} is {taken}, but the {source} gives {given} channels: set {option}={given}"
        )


def check_neck(backbone: nn.Module, neck: nn.Module | None) -> None:
    """Check that an HRNetNeck, or what is built on it, takes the maps that an HRVMamba gives.

    Raises:
        ConfigError: If it takes more of them, or other channels.
    """
    if not isinstance(backbone, HRVMamba) or not isinstance(neck, HRNetNeck):
        return  # others do not tell their channels
    if len(backbone.out_channels) != len(neck.in_channels):
        raise ConfigError(
            f"{type(neck).__name__} takes all four branches, but model.backbone.out_indices is "
            f"{backbone.out_indices}: set model.backbone.out_indices=(0,1,2,3)"
        )
    check_channels("model.neck.in_channels", neck.in_channels, "backbone", backbone.out_channels)


def load_pretrained(model: nn.Module) -> None:
    """Load the weights that the init_cfg of the model's backbone names, if it is an HRVMamba.

    Raises:
        OSError: If the file is missing.
        ValueError: If it cannot be read, or does not fit.
    """
    backbone = getattr(model, "backbone", None)
    if isinstance(backbone, HRVMamba):
        backbone.load_pretrained()


def check_load_from(config: Config, model: nn.Module) -> None:
    """Check the weights of the config's load_from, which the runner is to start from.

    The backbone must fit. The runner leaves out what does not fit of the rest, such as a head of
    other keypoints, and logs it. It does not know a file of a backbone alone: that becomes the
    init_cfg of the config's backbone.

    Args:
        config: The config; one without load_from is left alone.
        model: Its model, whose backbone gets the weights.

    Raises:
        OSError: If the file is missing.
        ValueError: If it cannot be read, or is not of such a backbone.
    """
    path, backbone = config.get("load_from"), getattr(model, "backbone", None)
    if not path or not isinstance(backbone, HRVMamba):
        return
    if not any(name.startswith(BACKBONE) for name in load_weights(backbone, path)):
        config.model.backbone.init_cfg = {"type": "Pretrained", "checkpoint": path}
        config.load_from = None
