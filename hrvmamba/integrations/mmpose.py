"""What the tools do with an MMPose config before MMEngine's runner takes it.

A config is read, checked against the data and the model that it names, and fitted to the machine.
The checks write nothing, so a run that they refuse leaves nothing behind.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend, register_backend

if TYPE_CHECKING:
    from mmengine.runner import Runner
    from torch import nn

MIN_INPUT_SIZE = 32
NUM_KEYPOINTS = 17
DETECTIONS_PAGE = "https://mmpose.readthedocs.io/en/latest/dataset_zoo/2d_body_keypoint.html#coco"
TEST_DEV_ANNOTATIONS = "annotations/image_info_test-dev2017.json"
TEST_DEV_DETECTIONS = "person_detection_results/COCO_test-dev2017_detections_AP_H_609_person.json"


class ConfigError(ValueError):
    """A config that cannot be run as it stands; the message says what to change."""


# Reading


def load_config(path: str, options: dict[str, Any] | None, keys: Sequence[str]) -> Config:
    """Reads a config file and merges the command line's options into it.

    Args:
        path: The config file.
        options: Dotted keys and their values, as ``--cfg-options`` gives them.
        keys: What the config must hold.

    Raises:
        ConfigError: If the file is missing or is not such a config.
    """
    if not Path(path).is_file():
        raise ConfigError(f"the config file {path} does not exist")
    try:
        config = Config.fromfile(path)
        config.merge_from_dict(options or {})
    except Exception as error:  # a config is a program: it can raise anything
        raise ConfigError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise ConfigError(f"{path} has no {', '.join(missing)}")
    return config


def as_list(value: Any) -> list[Any]:
    """One evaluator (or none) as the list that MMEngine takes as well."""
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) else [value]


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


def read_json(path: Path) -> Any:
    """Reads a JSON file; what is wrong with it becomes a ConfigError."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path} is not a readable JSON file: {error}") from error


def check_coco_keypoints(path: Path, num_keypoints: int | None = NUM_KEYPOINTS) -> set[int]:
    """Checks that a file holds COCO person keypoints.

    Args:
        path: The annotation file.
        num_keypoints: How many keypoints each person must have; None for any number.

    Returns:
        The ids of its images.

    Raises:
        ConfigError: If it is missing, is not JSON, or lacks what COCO keypoints need.
    """
    content = _annotation_file(path, ("images", "annotations", "categories"))
    image_ids = _image_ids(path, content["images"])
    people = [person for person in content["annotations"] if "keypoints" in person]
    if not people:
        raise ConfigError(
            f"{path} is not a COCO keypoint file: none of its {len(content['annotations'])} "
            "annotations has 'keypoints'. COCO's own are named person_keypoints_*.json"
        )
    for person in people:
        missing = {"id", "image_id", "category_id", "bbox"} - person.keys()
        name = f"{path}: annotation {person.get('id', '(without id)')}"
        if missing:
            raise ConfigError(f"{name} has no {', '.join(sorted(missing))}")
        size = len(person["keypoints"])
        if size % 3 or (num_keypoints and size != 3 * num_keypoints):
            wanted = 3 * num_keypoints if num_keypoints else "a multiple of 3"
            raise ConfigError(
                f"{name} has {size} numbers in 'keypoints', where x, y, visibility of "
                f"{num_keypoints or 'each'} keypoints need {wanted}"
            )
        if person["image_id"] not in image_ids:
            raise ConfigError(f"{name} is of image {person['image_id']}, which 'images' lacks")
    return image_ids


def check_image_info(path: Path) -> set[int]:
    """Checks an image list without annotations (test-dev2017) and returns the images' ids.

    Raises:
        ConfigError: If it is missing, is not JSON, or lists no images.
    """
    return _image_ids(path, _annotation_file(path, ("images", "categories"))["images"])


def _annotation_file(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    _check_is_file(path)
    content = read_json(path)
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} is not a COCO annotation file: it holds a {type(content).__name__}, "
            f"not an object with {', '.join(keys)}"
        )
    for key in keys:
        if not _is_list_of_dicts(content.get(key)):
            raise ConfigError(f"{path} is not a COCO annotation file: it has no list '{key}'")
    return content


def _image_ids(path: Path, images: list[dict[str, Any]]) -> set[int]:
    if not images:
        raise ConfigError(f"{path} lists no images")
    for image in images:
        missing = {"id", "file_name", "width", "height"} - image.keys()
        if missing:
            raise ConfigError(f"{path}: image {image.get('id')} has no {sorted(missing)[0]}")
    return {image["id"] for image in images}


def _is_list_of_dicts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def check_detections(path: Path, image_ids: set[int], instead: str) -> None:
    """Checks a person detection file.

    Args:
        path: The file, a JSON list of boxes with image_id, category_id, bbox and score.
        image_ids: The images of the annotation file that it is used with.
        instead: How to go without it, for the message.

    Raises:
        ConfigError: If it is missing, has another form, or is of other images.
    """
    if not path.is_file():
        raise ConfigError(
            f"the person detection file {path} does not exist. MMPose's page on COCO links it: "
            f"{DETECTIONS_PAGE}. {instead}"
        )
    detections = read_json(path)
    if not _is_list_of_dicts(detections) or not detections:
        raise ConfigError(f"{path} is not a detection file: it must be a list of boxes")
    for number, detection in enumerate(detections):
        missing = {"image_id", "category_id", "bbox", "score"} - detection.keys()
        if missing:
            raise ConfigError(f"{path}: box {number} has no {', '.join(sorted(missing))}")
        if detection["image_id"] not in image_ids:
            raise ConfigError(
                f"{path}: box {number} is of image {detection['image_id']}, which the annotation "
                "file lacks: the two belong to different image sets"
            )


def check_data(config: Config, split: str, instead: str) -> None:
    """Checks that the files that a split of the config names are there and of the right form.

    Args:
        config: The config.
        split: "train", "val" or "test".
        instead: How to go without a detection file, for the message.

    Raises:
        ConfigError: If a folder or file is missing or is not COCO keypoints.
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
            _check_is_file(annotations)
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
            _check_is_file(Path(annotations))


def _check_is_file(annotations: Path) -> None:
    if not annotations.is_file():
        raise ConfigError(f"the annotation file {annotations} does not exist")


# Checking the model


def check_input_size(config: Config) -> None:
    """Checks that nothing in the config crops people to less than 32 pixels.

    Raises:
        ConfigError: If an input_size in it is smaller.
    """
    sizes = [("codec", config.get("codec", {}).get("input_size"))]
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        for dataset in datasets((config.get(loader) or {}).get("dataset", {})):
            for transform in dataset.get("pipeline", []):
                sizes.append((f"{transform['type']} of {loader}", transform.get("input_size")))
    for where, size in sizes:
        if size is not None and min(size) < MIN_INPUT_SIZE:
            width, height = size
            raise ConfigError(
                f"the input_size of {where} is {width} x {height} pixels (width x height): "
                f"the backbone needs {MIN_INPUT_SIZE} at least on each side"
            )


def build_model(config: Config) -> nn.Module:
    """Builds the config's model, with its head checked against its backbone.

    Raises:
        ConfigError: If it cannot be built, or the head takes another number of channels than the
            backbone gives.
    """
    from mmpose.registry import MODELS

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


def check_training(config: Config) -> None:
    """Checks a config before training from it.

    Raises:
        ConfigError: If data, input size or model do not fit.
    """
    check_input_size(config)
    instead = (
        "Or validate on ground-truth boxes, whose AP is not comparable: "
        "--cfg-options val_dataloader.dataset.bbox_file=None (in tools/test.py: --gt-boxes)"
    )
    check_data(config, "train", instead)
    if config.get("val_dataloader") is not None:
        check_data(config, "val", instead)
    build_model(config)


def check_testing(config: Config) -> nn.Module:
    """Checks a config before testing with it, and returns its model.

    Raises:
        ConfigError: If data, input size or model do not fit.
    """
    check_input_size(config)
    instead = "Or test on ground-truth boxes, whose AP is not comparable: --gt-boxes"
    check_data(config, "test", instead)
    return build_model(config)


# The boxes and images to test on


def use_ground_truth_boxes(config: Config) -> None:
    """Makes the test use the annotated boxes instead of detected ones."""
    for dataset in datasets(config.test_dataloader.dataset):
        dataset["bbox_file"] = None


def use_test_dev(config: Config) -> None:
    """Makes the test run on COCO test-dev2017, which has no public annotations."""
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


def check_results(results: Any, image_ids: set[int]) -> None:
    """Checks keypoint results against the format that the COCO server takes.

    Args:
        results: A list of people, each with exactly image_id (int), category_id (1), keypoints
            (51 finite numbers: x, y, score of each keypoint) and score (a finite number).
        image_ids: The images that results may be of.

    Raises:
        ValueError: If they have another form; the message names the first that does.
    """
    if not _is_list_of_dicts(results):
        raise ValueError("COCO results must be a list of objects")
    keys = {"image_id", "category_id", "keypoints", "score"}
    for number, person in enumerate(results):
        if person.keys() != keys:
            raise ValueError(f"result {number} has {sorted(person)}, it must have {sorted(keys)}")
        if type(person["image_id"]) is not int or person["image_id"] not in image_ids:
            raise ValueError(f"result {number}: image_id {person['image_id']} is no image's id")
        if type(person["category_id"]) is not int or person["category_id"] != 1:
            raise ValueError(f"result {number}: category_id is {person['category_id']}, not 1")
        keypoints = person["keypoints"]
        if not isinstance(keypoints, list) or len(keypoints) != 3 * NUM_KEYPOINTS:
            raise ValueError(f"result {number}: keypoints must be {3 * NUM_KEYPOINTS} numbers")
        if not all(_is_finite_number(value) for value in [*keypoints, person["score"]]):
            raise ValueError(f"result {number}: keypoints and score must be finite numbers")


def _is_finite_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


# Running


def check_launcher(launcher: str) -> None:
    """Checks that this process was started by the launcher that it is told of.

    Raises:
        ConfigError: If the launcher's variable is not in the environment.
    """
    starters = {
        "none": None,
        "pytorch": ("LOCAL_RANK", "torchrun, as tools/dist_train.sh and tools/dist_test.sh do"),
        "slurm": ("SLURM_PROCID", "srun, as tools/slurm_train.sh and tools/slurm_test.sh do"),
        "mpi": ("OMPI_COMM_WORLD_LOCAL_RANK", "Open MPI's mpirun, with MASTER_ADDR set"),
    }
    starter = starters[launcher]
    if starter and starter[0] not in os.environ:
        raise ConfigError(
            f"--launcher {launcher}: {starter[0]} is not in the environment. Start this program "
            f"with {starter[1]}"
        )


class WholeFileBackend(LocalBackend):
    """MMEngine's local files, written whole or not at all.

    A run killed while it writes a checkpoint keeps the one it had.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Writes bytes to a file, in one step."""
        partial = f"{filepath}.partial"
        super().put(obj, partial)
        os.replace(partial, filepath)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Writes text to a file, in one step."""
        self.put(obj.encode(encoding), filepath)


def build_runner(config: Config) -> Runner:
    """Builds MMEngine's runner, which creates the work_dir and, if launched so, joins the others.

    Beyond ``Runner.from_cfg``: checkpoints are written whole, and several processes also run on a
    machine without CUDA, through gloo.

    Args:
        config: A checked config, with its work_dir and launcher.
    """
    from mmengine.runner import Runner

    register_backend("local", WholeFileBackend, prefixes="", force=True)
    if config.launcher == "mpi":  # the one launcher whose local rank MMEngine does not pass on
        os.environ.setdefault("LOCAL_RANK", os.environ["OMPI_COMM_WORLD_LOCAL_RANK"])
    if config.launcher == "none" or torch.cuda.is_available():
        return Runner.from_cfg(config)

    config.merge_from_dict({"env_cfg.dist_cfg.backend": "gloo"})
    config.model_wrapper_cfg = {
        "type": "MMDistributedDataParallel",
        "device_ids": None,
        "broadcast_buffers": False,
        "find_unused_parameters": config.get("find_unused_parameters", False),
    }
    # MMEngine selects a CUDA device for every launcher, whatever the backend.
    set_device = torch.cuda.set_device
    torch.cuda.set_device = lambda device: None
    try:
        return Runner.from_cfg(config)
    finally:
        torch.cuda.set_device = set_device


def unreadable_image(error: BaseException) -> str | None:
    """The path of the image that MMPose could not load, if that is what an error is about."""
    found = re.search(r"occurs when loading `(.+?)`\.", str(error))
    return found and found.group(1)


def refuse(reason: object) -> NoReturn:
    """Ends the program with one line on stderr and status 2, as argparse does."""
    line = "; ".join(str(reason).splitlines())
    print(f"error: {line}", file=sys.stderr)
    raise SystemExit(2)
