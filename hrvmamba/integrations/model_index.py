"""HRVMamba's configs by name, in MMEngine and in the libraries that build on it.

The configs and their index, model-index.yml, lie at the top of a checkout. An installed package
holds them in hrvmamba/.mim, the place where OpenMMLab's packages keep theirs.
"""

import functools
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from mmengine import hub
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.fileio import load
from mmengine.infer import BaseInferencer
from mmengine.registry import MODELS
from torch import nn

PACKAGE = "hrvmamba"
PREFIX = f"{PACKAGE}::"
INDEX = "model-index.yml"


class Model(NamedTuple):
    """A model of the index.

    Attributes:
        name: its config's file name without ".py".
        aliases: shorter names.
        config: its config file.
    """

    name: str
    aliases: tuple[str, ...]
    config: Path


def root() -> Path:
    """The folder that holds configs/ and model-index.yml.

    Raises:
        FileNotFoundError: the installation lacks them.
    """
    package = Path(__file__).parents[1]
    folders = (package / ".mim", package.parent)
    for folder in folders:
        if (folder / INDEX).is_file():
            return folder
    raise FileNotFoundError(
        f"HRVMamba's configs are missing: no {INDEX} is in {' or '.join(map(str, folders))}. "
        "Install hrvmamba anew"
    )


@functools.cache
def models() -> tuple[Model, ...]:
    """The models that the index lists.

    Raises:
        FileNotFoundError: the installation lacks the index.
    """
    folder = root()
    metafiles = (load(folder / path) for path in load(folder / INDEX)["Import"])
    return tuple(
        Model(entry["Name"], tuple(entry.get("Alias", ())), folder / entry["Config"])
        for metafile in metafiles
        for entry in metafile["Models"]
    )


def config_file(name: str) -> Path:
    """Find a config file by name.

    Args:
        name: a model's name or alias, such as ``hrvmamba-small``, in capital or small letters; or
            a path below configs/ after ``hrvmamba::``, as in
            ``hrvmamba::coco/hrvmamba_small_256x192.py``.

    Raises:
        FileNotFoundError: there is no such config.
    """
    if name.startswith(PREFIX):
        path = root() / "configs" / name.removeprefix(PREFIX)
        if path.is_file():
            return path
        raise FileNotFoundError(f"{name}: there is no file {path}")
    for model in models():
        if name.lower() in (model.name, *model.aliases):
            return model.config
    known = [alias for model in models() for alias in model.aliases]
    raise FileNotFoundError(f"HRVMamba has no model {name}. It has {', '.join(known)}")


def is_name(text: str) -> bool:
    """Whether a text is meant as a name that :func:`config_file` takes."""
    return text.lower().startswith(PACKAGE)


# In MMEngine


@functools.cache
def install() -> None:
    """Make the names known to MMEngine; further calls do nothing.

    - A config may have ``hrvmamba::coco/...`` among its bases.
    - ``mmengine.hub.get_config`` and ``get_model`` take such a name too.
    - Inferencers, such as MMPoseInferencer, take all names.
    """
    MODULE2PACKAGE[PACKAGE] = PACKAGE  # the packages whose models MMEngine and MMPose can list
    _find_bases()
    _find_in_hub()
    _find_in_inferencers()


def _find_bases() -> None:
    theirs = Config._get_cfg_path

    def get_cfg_path(path: str, filename: str) -> tuple[str, str | None]:
        if not path.startswith(PREFIX):
            return theirs(path, filename)
        # MMEngine would make the prefix the scope of all that the base builds. HRVMamba's configs
        # have no scope of their own: their models, data and hooks are of their default_scope.
        return str(config_file(path)), None

    Config._get_cfg_path = staticmethod(get_cfg_path)


def _find_in_hub() -> None:
    their_config, their_model = hub.get_config, hub.get_model

    @functools.wraps(their_config)
    def get_config(cfg_path: str, pretrained: bool = False) -> Config:
        if not cfg_path.startswith(PREFIX):
            return their_config(cfg_path, pretrained)
        if pretrained:
            raise ValueError(
                f"{cfg_path}: pretrained=True needs weights, and none are released with HRVMamba. "
                "Load a file of the authors or of tools/train.py with "
                "mmengine.runner.load_checkpoint"
            )
        return Config.fromfile(config_file(cfg_path))

    @functools.wraps(their_model)
    def get_model(cfg_path: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
        if not cfg_path.startswith(PREFIX):
            return their_model(cfg_path, pretrained, **kwargs)
        config = get_config(cfg_path, pretrained)
        if "data_preprocessor" in config:
            config.model.data_preprocessor = config.data_preprocessor
        with MODELS.switch_scope_and_registry(config.default_scope) as registry:
            return registry.build(config.model, default_args=kwargs)

    for module in (hub, hub.hub):
        module.get_config, module.get_model = get_config, get_model


def _find_in_inferencers() -> None:
    their_lookup = BaseInferencer._load_model_from_metafile
    their_init = BaseInferencer._init_model

    def load_model_from_metafile(self: BaseInferencer, model: str) -> tuple[Config, None]:
        if not is_name(model):
            return their_lookup(self, model)
        return Config.fromfile(config_file(model)), None

    def init_model(
        self: BaseInferencer, cfg: Any, weights: str | None, device: str = "cpu"
    ) -> nn.Module:
        if weights is None and cfg.model.get("backbone", {}).get("type") == "HRVMamba":
            warnings.warn(
                "no weights are given, and none are released with HRVMamba: what this model "
                "predicts is random. Give a checkpoint of the authors or of tools/train.py: "
                "weights=..., to MMPoseInferencer pose2d_weights=...",
                stacklevel=2,
            )
        return their_init(self, cfg, weights, device)

    BaseInferencer._load_model_from_metafile = load_model_from_metafile
    BaseInferencer._init_model = init_model
