"""Reading MMEngine's config files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from hrvmamba.integrations.model_index import config_file, is_name


class ConfigError(ValueError):
    """A config that cannot be run as it stands; the message says what to change."""


def find_config(path: str) -> Path:
    """The config file of a path or name.

    Args:
        path: The file, or the name of one of HRVMamba's own: ``hrvmamba-small``,
            ``hrvmamba::coco/hrvmamba_small_256x192.py``.

    Raises:
        ConfigError: If there is no such file.
    """
    file = Path(path)
    if file.is_file():
        return file
    if not is_name(str(path)):
        raise ConfigError(f"the config file {path} does not exist")
    try:
        return config_file(str(path))
    except FileNotFoundError as error:
        raise ConfigError(error) from error


def load_config(path: str, options: dict[str, Any] | None, keys: Sequence[str]) -> Config:
    """Read a config file and merge the command line's options into it.

    A data loader without workers gets ``persistent_workers=False``, without which PyTorch refuses
    it.

    Args:
        path: The config file, or its name; see :func:`find_config`.
        options: Dotted keys and their values, as ``--cfg-options`` gives them.
        keys: What the config must hold.

    Raises:
        ConfigError: If the file is missing or is not such a config.
    """
    file = find_config(path)
    try:
        config = Config.fromfile(file)
        config.merge_from_dict(options or {})
    except Exception as error:  # a config is a program: it can raise anything
        raise ConfigError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise ConfigError(f"{path} has no {', '.join(missing)}")
    for name, loader in config.items():
        if not name.endswith("_dataloader") or not isinstance(loader, dict):
            continue
        if loader.get("num_workers", 0) == 0:
            loader["persistent_workers"] = False
    return config


def as_list(value: Any) -> list[Any]:
    """One evaluator or initialiser (or none) as the list that MMEngine takes as well."""
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) else [value]
