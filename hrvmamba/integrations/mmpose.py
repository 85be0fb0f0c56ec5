"""Checks of the data, model and weights that an MMPose config names, and the boxes to test on.

The checks write nothing, so a run that they refuse leaves nothing behind.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmpose.registry import MODELS
from torch import nn

from hrvmamba.checkpoints.posevmamba import BACKBONE
from hrvmamba.integrations.coco_files import (
    NUM_KEYPOINTS,
    check_annotations_exist,
    check_coco_keypoints,
    check_detections,
    check_image_info,
)
from hrvmamba.integrations.config import ConfigError, as_list
from hrvmamba.integrations.mmengine import HRVMamba, load_weights
from hrvmamba.models.hrvmamba import MIN_SIZE

TEST_DEV_ANNOTATIONS = "annotations/image_info_test-dev2017.json"
TEST_DEV_DETECTIONS = "person_detection_results/COCO_test-dev2017_detections_AP_H_609_person.json"


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


# Checking the data


def check_data(config: Config, split: str, instead: str) -> None:
    """Check that the files that a split of the config names are there and of the right form.

    Args:
        config: The config.
        split: "train", "val" or "test".
        instead: How to go without a detection file, for the message.

    Raises:
        ValueError: If a folder or file is missing, or a file has not the form that COCO's have.
    """
    checked = set()
    for dataset in datasets(config[f"{split}_dataloader"]["dataset"]):
        root = dataset.get("data_root")
        if root and not Path(root).is_dir():
            link = str(root).rstrip("/")
            raise ConfigError(
                f"the data folder {root} does not exist. Link it to yours: "
                f"ln -s /path/to/{Path(link).name} {link}"
            )
        annotations = under_data_root(dataset, dataset.get("ann_file", ""))
        checked.add(annotations)
        if dataset.get("type") != "CocoDataset":
            check_annotations_exist(annotations)
            continue
        images = under_data_root(dataset, dataset.get("data_prefix", {}).get("img", ""))
        if not images.is_dir():
            raise ConfigError(f"the image folder {images} does not exist")
        boxes = dataset.get("bbox_file")
        if boxes and annotations.name == Path(TEST_DEV_ANNOTATIONS).name:
            image_ids = check_image_info(annotations)
        else:
            image_ids = check_coco_keypoints(
                annotations, None if "metainfo" in dataset else NUM_KEYPOINTS
            )
        if boxes:
            check_detections(Path(boxes), image_ids, instead)
    for evaluator in as_list(config.get(f"{split}_evaluator")):
        annotations = evaluator.get("ann_file")
        if annotations and Path(annotations) not in checked:
            check_annotations_exist(Path(annotations))


# Checking the model


def check_input_size(config: Config) -> None:
    """Check that nothing in the config crops people to less than the backbone takes.

    Raises:
        ConfigError: If an input_size in it is smaller.
    """
    sizes = [("codec", config.get("codec", {}).get("input_size"))]
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        for dataset in datasets((config.get(loader) or {}).get("dataset", {})):
            for transform in dataset.get("pipeline", []):
                sizes.append((f"{transform['type']} of {loader}", transform.get("input_size")))
    for where, size in sizes:
        if size is not None and min(size) < MIN_SIZE:
            width, height = size
            raise ConfigError(
                f"the input_size of {where} is {width} x {height} pixels (width x height): "
                f"the backbone needs {MIN_SIZE} at least on each side"
            )


def build_model(config: Config) -> nn.Module:
    """Build the config's model, with its head checked against its backbone.

    Raises:
        ConfigError: If it cannot be built, or the head takes another number of channels than the
            backbone gives.
    """
    try:
        with MODELS.switch_scope_and_registry("mmpose") as models:
            model = models.build(config.model)
    except (AssertionError, ImportError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the model cannot be built: {error}") from error
    given = getattr(getattr(model, "backbone", None), "out_channels", None)
    taken = getattr(getattr(model, "head", None), "in_channels", None)
    if not given or not isinstance(taken, int) or getattr(model, "neck", None) is not None:
        return model
    if taken != given[-1]:  # MMPose's heads of one input take the last map
        raise ConfigError(
            f"model.head.in_channels is {taken}, but the backbone gives {given[-1]} channels: "
            f"set model.head.in_channels={given[-1]}"
        )
    return model


def check_training(config: Config) -> nn.Module:
    """Check a config before training from it, and return its model.

    Raises:
        OSError: If a file of weights is missing.
        ValueError: If data, input size, model or the weights of its init_cfg do not fit.
    """
    check_input_size(config)
    instead = (
        "Or validate on ground-truth boxes, whose AP is not comparable: "
        "--cfg-options val_dataloader.dataset.bbox_file=None (in tools/test.py: --gt-boxes)"
    )
    check_data(config, "train", instead)
    if config.get("val_dataloader") is not None:
        check_data(config, "val", instead)
    model = build_model(config)
    backbone = getattr(model, "backbone", None)
    if isinstance(backbone, HRVMamba):
        backbone.load_pretrained()
    return model


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


def check_testing(config: Config) -> nn.Module:
    """Check a config before testing with it, and return its model.

    Raises:
        ValueError: If data, input size or model do not fit.
    """
    check_input_size(config)
    instead = "Or test on ground-truth boxes, whose AP is not comparable: --gt-boxes"
    check_data(config, "test", instead)
    return build_model(config)


# The boxes and images to test on


def use_ground_truth_boxes(config: Config) -> None:
    """Make the test use the annotated boxes instead of detected ones."""
    for dataset in datasets(config.test_dataloader.dataset):
        dataset["bbox_file"] = None


def use_test_dev(config: Config) -> None:
    """Make the test run on COCO test-dev2017, which has no public annotations."""
    dataset = next(datasets(config.test_dataloader.dataset))
    dataset["ann_file"] = TEST_DEV_ANNOTATIONS
    dataset["bbox_file"] = str(under_data_root(dataset, TEST_DEV_DETECTIONS))
    dataset["data_prefix"] = {"img": "test2017/"}
    annotations = under_data_root(dataset, TEST_DEV_ANNOTATIONS)
    config.test_evaluator = {
        "type": "CocoMetric",
        "ann_file": str(annotations),
        "format_only": True,
        "outfile_prefix": "",
    }


def boxes_used(config: Config) -> str:
    """One line that says on which boxes the test runs."""
    files = [dataset.get("bbox_file") for dataset in datasets(config.test_dataloader.dataset)]
    if all(files):
        return f"boxes: detections from {', '.join(map(str, files))}"
    return "boxes: ground truth (NOT comparable with AP on detected boxes)"


# Running


def unreadable_image(error: BaseException) -> str | None:
    """The path of the image that MMPose could not load, if that is what an error is about."""
    found = re.search(r"occurs when loading `(.+?)`\.", str(error))
    return found and found.group(1)
