"""Checks of the image folders and the model that an MMPretrain config names.

The checks write nothing, so a run that they refuse leaves nothing behind.
"""

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.fileio import list_dir_or_file
from mmpretrain.datasets import ImageNet
from mmpretrain.datasets.custom import find_folders
from mmpretrain.models import GlobalAveragePooling
from torch import nn

from hrvmamba.checkpoints.messages import first_few
from hrvmamba.integrations.config import ConfigError, as_list
from hrvmamba.integrations.dataset_configs import (
    check_data_root,
    check_input_size,
    datasets,
    transforms,
    under_data_root,
)
from hrvmamba.integrations.mmengine import HRNetNeck, HRVMamba
from hrvmamba.integrations.model_configs import (
    build_model,
    check_channels,
    check_neck,
    load_pretrained,
)

CROPS = {  # the transforms that set the input's size, and what they call it
    "RandomResizedCrop": "scale",
    "RandomCrop": "crop_size",
    "CenterCrop": "crop_size",
    "Resize": "scale",
}


# Checking the data


def check_data(config: Config, split: str, num_classes: int | None) -> dict[Path, list[str]]:
    """Check the image folders that a split of the config names, and its metrics.

    Args:
        config: The config.
        split: "train", "val" or "test".
        num_classes: The model's number of classes; None where its head has none.

    Returns:
        The names of the classes in each folder.

    Raises:
        ConfigError: If a folder is missing, has no images or another number of classes, or a metric
            needs more of them.
    """
    classes = {}
    for dataset in datasets(config[f"{split}_dataloader"]["dataset"]):
        check_data_root(dataset)
        if dataset.get("type") != "CustomDataset" or dataset.get("ann_file"):
            continue
        prefix = dataset.get("data_prefix") or ""
        if isinstance(prefix, dict):
            prefix = prefix.get("img_path", "")
        folder = under_data_root(dataset, prefix)
        classes[folder] = check_image_folder(folder, dataset.get("extensions"))
        count = len(classes[folder])
        if num_classes and count != num_classes:
            raise ConfigError(
                f"model.head.num_classes is {num_classes}, but {folder} has {count} class folders: "
                f"set model.head.num_classes={count} data_preprocessor.num_classes={count}"
            )
    for evaluator in as_list(config.get(f"{split}_evaluator")):
        if num_classes and max(as_list(evaluator.get("topk")), default=1) > num_classes:
            raise ConfigError(
                f"{split}_evaluator.topk is {evaluator['topk']}, but there are {num_classes} "
                f"classes: set {split}_evaluator.topk=1"
            )
    return classes


def check_image_folder(folder: Path, extensions: Sequence[str] | None = None) -> list[str]:
    """Check that a folder holds images in folders of their classes.

    Args:
        folder: The folder.
        extensions: What the names of images end in; None takes MMPretrain's own.

    Returns:
        The names of the classes, in MMPretrain's order.

    Raises:
        ConfigError: If there is no such folder, no class or no image.
    """
    extensions = tuple(each.lower() for each in extensions or ImageNet.IMG_EXTENSIONS)
    if not folder.is_dir():
        raise ConfigError(f"the image folder {folder} does not exist")
    classes, _ = find_folders(str(folder))
    files = (
        name
        for each in classes
        for name in list_dir_or_file(folder / each, list_dir=False, recursive=True)
    )
    if not any(name.lower().endswith(extensions) for name in files):
        raise ConfigError(
            f"the image folder {folder} has no images in {len(classes)} class folders: it needs "
            f"{folder}/CLASS/NAME, with names that end in {', '.join(extensions)}"
        )
    return classes


def check_same_classes(folders: dict[Path, list[str]]) -> None:
    """Check that image folders have the same classes: a class's number is its place among them.

    Raises:
        ConfigError: If they differ; what one has and another lacks is named.
    """
    first, *others = folders
    for other in others:
        if folders[other] != folders[first]:
            differing = set(folders[first]) ^ set(folders[other])
            raise ConfigError(
                f"{first} and {other} must have the same class folders, but these are in one of "
                f"them alone: {first_few(sorted(differing))}"
            )


# Checking the model


def check_input_sizes(config: Config) -> None:
    """Check that nothing in the config crops images to less than the backbone takes.

    Raises:
        ConfigError: If a crop is smaller.
    """
    for where, transform in transforms(config):
        option = CROPS.get(transform["type"])
        if option and option in transform:
            check_input_size(f"{option} of {where}", *_width_and_height(transform[option]))


def _width_and_height(size: int | Sequence[int]) -> Sequence[int]:
    return (size, size) if isinstance(size, int) else size


def check_model(config: Config) -> nn.Module:
    """Build the config's model, and check its parts against one another.

    Raises:
        ConfigError: If it cannot be built, a part takes other channels than that ahead of it gives,
            or the preprocessing is of another number of classes than the head.
    """
    model = build_model(config)
    _check_parts(model.backbone, model.neck, model.head)
    prepared = getattr(model.data_preprocessor, "num_classes", None)
    num_classes = _num_classes(model)
    if prepared and num_classes and prepared != num_classes:
        option = "data_preprocessor.num_classes"
        if "data_preprocessor" in config.model:
            option = f"model.{option}"
        raise ConfigError(
            f"{option} is {prepared}, but model.head.num_classes is {num_classes}: "
            f"set {option}={num_classes}"
        )
    return model


def _check_parts(backbone: nn.Module, neck: nn.Module | None, head: nn.Module | None) -> None:
    if not isinstance(backbone, HRVMamba):  # others do not tell their channels
        return
    source, given = "backbone", backbone.out_channels
    if isinstance(neck, HRNetNeck):
        check_neck(backbone, neck)
        source, given = "neck", neck.out_channels
    elif isinstance(neck, GlobalAveragePooling):
        given = given[-1]  # MMPretrain's heads take the last map
    else:
        return
    if getattr(head, "in_channels", None) is not None:
        check_channels("model.head.in_channels", head.in_channels, source, given)


def _num_classes(model: nn.Module) -> int | None:
    return getattr(model.head, "num_classes", None)


def check_training(config: Config) -> nn.Module:
    """Check a config before training from it, and return its model.

    Raises:
        OSError: If a file of weights is missing.
        ValueError: If data, input size, model or the weights of its init_cfg do not fit.
    """
    check_input_sizes(config)
    model = check_model(config)
    folders = check_data(config, "train", _num_classes(model))
    if config.get("val_dataloader") is not None:
        folders |= check_data(config, "val", _num_classes(model))
    check_same_classes(folders)
    load_pretrained(model)
    return model


def check_testing(config: Config) -> nn.Module:
    """Check a config before testing with it, and return its model.

    Raises:
        ValueError: If data, input size or model do not fit.
    """
    check_input_sizes(config)
    model = check_model(config)
    check_data(config, "test", _num_classes(model))
    return model


# What a test writes


def draw_predictions(config: Config, folder: str) -> None:
    """Make a test draw its predictions into a folder."""
    hook = {"type": "VisualizationHook", "enable": True, "interval": 1, "out_dir": folder}
    config.merge_from_dict({"default_hooks.visualization": hook})
