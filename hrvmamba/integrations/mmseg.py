"""Checks of the data and model that an MMSegmentation config names, and tests at several scales.

The checks write nothing, so a run that they refuse leaves nothing behind.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.hooks import PrepareTTAHook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import DATASETS
from torch import nn

from hrvmamba.integrations.config import ConfigError
from hrvmamba.integrations.dataset_configs import (
    check_data_root,
    check_input_size,
    datasets,
    transforms,
)
from hrvmamba.integrations.model_configs import (
    build_model,
    check_channels,
    check_neck,
    load_pretrained,
)

SAMPLE = 64
"""How many annotations of a split are read ahead of a run, evenly spread over it."""


# Checking the data


def check_data(config: Config, split: str) -> list[BaseSegDataset]:
    """Check that the images and annotations of a split of the config are there and fit its classes.

    The labels of ``SAMPLE`` annotations alone are read: to read ADE20K's 22,210 takes minutes.

    Args:
        config: The config.
        split: "train", "val" or "test".

    Returns:
        The split's datasets, without their data, but for those of another kind than
        MMSegmentation's, which are left unchecked.

    Raises:
        ConfigError: If a folder or file is missing, or an annotation does not fit.
    """
    checked = []
    for options in datasets(config[f"{split}_dataloader"]["dataset"]):
        check_data_root(options)
        dataset = _build_dataset(options, split)
        if isinstance(dataset, BaseSegDataset):
            _check_annotations(dataset, _list_images(dataset))
            checked.append(dataset)
    return checked


def _build_dataset(options: dict[str, Any], split: str) -> Any:
    try:
        with DATASETS.switch_scope_and_registry("mmseg") as registry:
            return registry.build({**options, "pipeline": [], "lazy_init": True})
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the dataset of {split}_dataloader cannot be built: {error}") from error


def _list_images(dataset: BaseSegDataset) -> list[dict[str, Any]]:
    """List a dataset's images and their annotations, as it does itself, all of them there."""
    prefix = dataset.data_prefix
    for kind, key in (("image", "img_path"), ("annotation", "seg_map_path")):
        if not Path(prefix.get(key) or "").is_dir():
            raise ConfigError(f"the {kind} folder {prefix.get(key)} does not exist")
    if dataset.ann_file and not Path(dataset.ann_file).is_file():
        raise ConfigError(f"the list of images {dataset.ann_file} does not exist")
    images = dataset.load_data_list()
    if not images:
        where = dataset.ann_file or f"the image folder {prefix['img_path']}"
        raise ConfigError(f"{where} has no images: it needs some that end in {dataset.img_suffix}")
    without = [image for image in images if not Path(image["seg_map_path"]).is_file()]
    if without:
        raise ConfigError(
            f"{len(without)} of {len(images)} images have no annotation: {without[0]['img_path']} "
            f"needs {without[0]['seg_map_path']}"
        )
    return images


def _check_annotations(dataset: BaseSegDataset, images: list[dict[str, Any]]) -> None:
    """Check the labels of some images against the dataset's classes, if it names them."""
    load = LoadAnnotations()
    classes = len(dataset.metainfo.get("classes") or ())
    for index in sorted(set(np.linspace(0, len(images) - 1, SAMPLE, dtype=int))):
        path = images[index]["seg_map_path"]
        try:
            labels = load(images[index])["gt_seg_map"]
        except OSError as error:
            raise ConfigError(f"the annotation {path} cannot be read: {error}") from error
        if labels.ndim != 2:
            raise ConfigError(
                f"the annotation {path} has {labels.shape[2]} channels: it needs one, "
                "the label of each pixel"
            )
        beyond = labels[(labels >= classes) & (labels != dataset.ignore_index)]
        if classes and beyond.size:
            first = int(dataset.reduce_zero_label)
            ignored = "0" if first else str(dataset.ignore_index)
            raise ConfigError(
                f"the annotation {path} has the label {beyond.max() + first}: "
                f"{type(dataset).__name__} has {classes} classes, whose labels are {first} to "
                f"{classes - 1 + first}, and {ignored} for pixels to ignore"
            )


# Checking the model


def check_crop_sizes(config: Config) -> None:
    """Check that nothing in the config crops images to less than the backbone takes.

    Raises:
        ConfigError: If a crop_size in it is smaller.
    """
    for where, transform in transforms(config):
        size = transform.get("crop_size")
        if size is not None:
            height, width = (size, size) if isinstance(size, int) else size
            check_input_size(f"crop_size of {where}", width, height)


def check_model(config: Config) -> nn.Module:
    """Build the config's model, and check its heads against what they take.

    Raises:
        ConfigError: If it cannot be built, or a head takes maps or channels that it is not given.
    """
    for option, head in _heads(config):
        _check_as_many(option, head)
    model = build_model(config)
    neck = getattr(model, "neck", None)
    check_neck(model.backbone, neck)
    source = "backbone" if neck is None else "neck"
    given = getattr(getattr(model, source), "out_channels", None)
    if isinstance(given, tuple):  # other backbones and necks do not tell their channels
        for option, head in _heads(config):
            _check_maps(option, head, source, given)
    return model


def check_classes(config: Config, dataset: BaseSegDataset) -> None:
    """Check that the heads of a config have as many classes as a dataset.

    Raises:
        ConfigError: If they have not.
    """
    classes = len(dataset.metainfo.get("classes") or ())
    for option, head in _heads(config):
        if classes and head.num_classes != classes:
            raise ConfigError(
                f"{option}.num_classes is {head.num_classes}, but {type(dataset).__name__} has "
                f"{classes} classes: set {option}.num_classes={classes}"
            )


def _heads(config: Config) -> Iterator[tuple[str, ConfigDict]]:
    """The heads that a config's model has, each behind its name in the config."""
    yield "model.decode_head", config.model.decode_head
    auxiliary = config.model.get("auxiliary_head")
    if isinstance(auxiliary, list):
        for index, head in enumerate(auxiliary):
            yield f"model.auxiliary_head.{index}", head
    elif auxiliary:
        yield "model.auxiliary_head", auxiliary


def _check_as_many(option: str, head: ConfigDict) -> None:
    """Check that a head names a width for each of its maps, as MMSegmentation merely asserts."""
    named = (head.get("in_channels"), head.get("in_index"))
    widths, maps = (len(each) if isinstance(each, (list, tuple)) else None for each in named)
    if widths != maps:
        raise ConfigError(
            f"{option}.in_channels is {named[0]}, but its in_index is {named[1]}: "
            "it needs a width for each map"
        )


def _check_maps(option: str, head: ConfigDict, source: str, given: tuple[int, ...]) -> None:
    """Check that a head takes maps and channels that are among those that it is given."""
    indices = head.get("in_index", -1)
    named = indices if isinstance(indices, (list, tuple)) else [indices]
    if not all(-len(given) <= index < len(given) for index in named):
        raise ConfigError(
            f"{option}.in_index is {indices}, but the {source} gives {len(given)} maps, whose "
            f"indices are 0 to {len(given) - 1}"
        )
    widths = [given[index] for index in named] if named is indices else given[indices]
    check_channels(f"{option}.in_channels", head.in_channels, source, widths)


# Checking a run


def check_training(config: Config) -> nn.Module:
    """Check a config before training from it, and return its model.

    Raises:
        OSError: If a file of weights is missing.
        ValueError: If data, crop size, model or the weights of its init_cfg do not fit.
    """
    check_crop_sizes(config)
    splits = ["train"] + ["val"] * (config.get("val_dataloader") is not None)
    model = _check_data_and_model(config, splits)
    load_pretrained(model)
    return model


def check_testing(config: Config) -> nn.Module:
    """Check a config before testing with it, and return its model.

    Raises:
        ValueError: If data or model do not fit.
    """
    return _check_data_and_model(config, ["test"])


def _check_data_and_model(config: Config, splits: list[str]) -> nn.Module:
    for split in splits:
        for dataset in check_data(config, split):
            check_classes(config, dataset)
    return check_model(config)


# Testing


def draw_predictions(config: Config, folder: str) -> None:
    """Make the test draw each image's truth and prediction, side by side, into a folder."""
    hook = {"type": "SegVisualizationHook", "draw": True, "interval": 1}
    config.merge_from_dict({"default_hooks.visualization": hook, "visualizer.save_dir": folder})


@HOOKS.register_module()
class SegTTAHook(PrepareTTAHook):
    """Test by a model that augments, in one process or several.

    Args:
        tta_cfg: that model, as in mmseg's configs: ``dict(type='SegTTAModel')``.
    """

    def before_test(self, runner: Runner) -> None:
        """Wrap the runner's model, which SegTTAModel wants without its distribution."""
        if is_model_wrapper(runner.model):
            runner.model = runner.model.module
        super().before_test(runner)
