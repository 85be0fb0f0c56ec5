"""The OpenMMLab library that a config is for."""

from importlib import import_module
from types import ModuleType

from mmengine.config import Config

from hrvmamba.integrations.config import ConfigError

HOSTS = ("mmpose", "mmpretrain", "mmseg")


def host_of(config: Config) -> ModuleType:
    """Import the module beside this one that is for the library of a config's default_scope.

    Each has ``check_training(config)`` and ``check_testing(config)``, which check what the config
    names and return its model, and ``draw_predictions(config, folder)``, which makes a test do so.

    Raises:
        ConfigError: If the default_scope is none of ``HOSTS``, or that library cannot be imported.
    """
    scope = config.get("default_scope")
    if scope not in HOSTS:
        raise ConfigError(f"default_scope must be one of {', '.join(HOSTS)}, got {scope!r}")
    try:
        return import_module(f"hrvmamba.integrations.{scope}")
    except ImportError as error:
        raise ConfigError(
            f"default_scope is {scope!r}, but {scope} cannot be used here: {error}"
        ) from error
