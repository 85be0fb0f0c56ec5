"""The datasets and transforms that a config names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from hrvmamba.integrations.config import ConfigError
from hrvmamba.models.checks import MIN_SIZE

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def datasets(dataset: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The datasets with annotations inside a dataset that may wrap others (repeat, combine)."""
    if "datasets" in dataset:
        for inner in dataset["datasets"]:
            yield from datasets(inner)
    elif "dataset" in dataset:
        yield from datasets(dataset["dataset"])
    else:
        yield dataset


def under_data_root(dataset: dict[str, Any], path: str) -> Path:
    """A path of a dataset's config as MMEngine reads it: relative to its data_root."""
    return Path(dataset.get("data_root") or "", path)


def check_data_root(dataset: dict[str, Any]) -> None:
    """Check that a dataset's data_root, if it has one, is there.

    Raises:
        ConfigError: If it is not; the message says how to link it.
    """
    root = dataset.get("data_root")
    if root and not Path(root).is_dir():
        link = str(root).rstrip("/")
        raise ConfigError(
            f"the data folder {root} does not exist. Link it to yours: "
            f"ln -s /path/to/{Path(link).name} {link}"
        )


def transforms(config: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    """The transforms of all datasets, each behind words that say where it is."""
    for loader in LOADERS:
        for dataset in datasets((config.get(loader) or {}).get("dataset", {})):
            for transform in dataset.get("pipeline", []):
                yield f"{transform['type']} of {loader}", transform


def check_input_size(name: str, width: int, height: int) -> None:
    """Check that images of a size, in pixels, are large enough for the backbone.

    Raises:
        ConfigError: If they are not; the message calls the size by its name.
    """
    if min(width, height) < MIN_SIZE:
        raise ConfigError(
            f"the {name} is {width} x {height} pixels (width x height): "
            f"the backbone needs {MIN_SIZE} at least on each side"
        )
