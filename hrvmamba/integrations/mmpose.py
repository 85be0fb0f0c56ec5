"""Checks of the data and model that an MMPose config names, and the boxes to test on.

The checks write nothing, so a run that they refuse leaves nothing behind.
"""

from pathlib import Path

from mmengine.config import Config
from torch import nn

from hrvmamba.coco_files import (
    NUM_KEYPOINTS,
    check_annotations_exist,
    check_coco_keypoints,
    check_detections,
    check_image_info,
)
from hrvmamba.integrations.config import ConfigError, as_list
from hrvmamba.integrations.dataset_configs import (
    check_data_root,
    check_input_size,
    datasets,
    transforms,
    under_data_root,
)
from hrvmamba.integrations.model_configs import build_model, check_channels, load_pretrained

TEST_DEV_ANNOTATIONS = "annotations/image_info_test-dev2017.json"
TEST_DEV_DETECTIONS = "person_detection_results/COCO_test-dev2017_detections_AP_H_609_person.json"


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
        check_data_root(dataset)
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


def check_input_sizes(config: Config) -> None:
    """Check that nothing in the config crops people to less than the backbone takes.

    Raises:
        ConfigError: If an input_size in it is smaller.
    """
    sizes = [("codec", config.get("codec", {}).get("input_size"))]
    sizes += [(where, transform.get("input_size")) for where, transform in transforms(config)]
    for where, size in sizes:
        if size is not None:
            check_input_size(f"input_size of {where}", *size)


def check_model(config: Config) -> nn.Module:
    """Build the config's model, and check its head against its backbone.

    Raises:
        ConfigError: If it cannot be built, or the head takes another number of channels than the
            backbone gives.
    """
    model = build_model(config)
    given = getattr(getattr(model, "backbone", None), "out_channels", None)
    taken = getattr(getattr(model, "head", None), "in_channels", None)
    if given and isinstance(taken, int) and getattr(model, "neck", None) is None:
        # MMPose's heads of one input take the last map.
        check_channels("model.head.in_channels", taken, "backbone", given[-1])
    return model


def check_training(config: Config) -> nn.Module:
    """Check a config before training from it, and return its model.

    Raises:
        OSError: If a file of weights is missing.
        ValueError: If data, input size, model or the weights of its init_cfg do not fit.
    """
    check_input_sizes(config)
    instead = (
        "Or validate on ground-truth boxes, whose AP is not comparable: "
        "--cfg-options val_dataloader.dataset.bbox_file=None (in tools/test.py: --gt-boxes)"
    )
    check_data(config, "train", instead)
    if config.get("val_dataloader") is not None:
        check_data(config, "val", instead)
    model = check_model(config)
    load_pretrained(model)
    return model


def check_testing(config: Config) -> nn.Module:
    """Check a config before testing with it, and return its model.

    Raises:
        ValueError: If data, input size or model do not fit.
    """
    check_input_sizes(config)
    instead = "Or test on ground-truth boxes, whose AP is not comparable: --gt-boxes"
    check_data(config, "test", instead)
    return check_model(config)


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


# What a test writes


def draw_predictions(config: Config, folder: str) -> None:
    """Make a test draw its predictions into a folder."""
    hook = {"type": "PoseVisualizationHook", "enable": True, "out_dir": folder}
    config.merge_from_dict({"default_hooks.visualization": hook})
