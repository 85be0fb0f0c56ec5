"""Checks of COCO's files: keypoint annotations, image lists, person detections, results."""

import json
import sys
from pathlib import Path
from typing import Any

NUM_KEYPOINTS = 17
DETECTIONS_PAGE = "https://mmpose.readthedocs.io/en/latest/dataset_zoo/2d_body_keypoint.html#coco"


def check_annotations_exist(path: Path) -> None:
    """Check that an annotation file is there, whatever it holds.

    Raises:
        ValueError: If it is missing.
    """
    if not path.is_file():
        raise ValueError(f"the annotation file {path} does not exist")


def read_annotations(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Read an annotation file that has lists of objects under all of the keys.

    Raises:
        ValueError: If it is missing, is not JSON, or has another form.
    """
    check_annotations_exist(path)
    content = _read_json(path)
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} is not a COCO annotation file: it holds a {type(content).__name__}, "
            f"not an object with {', '.join(keys)}"
        )
    for key in keys:
        if not _is_list_of_dicts(content.get(key)):
            raise ValueError(f"{path} is not a COCO annotation file: it has no list '{key}'")
    return content


def check_coco_keypoints(path: Path, num_keypoints: int | None = NUM_KEYPOINTS) -> set[int]:
    """Check that a file holds COCO person keypoints.

    Args:
        path: The annotation file.
        num_keypoints: How many keypoints each person must have; None for any number.

    Returns:
        The ids of its images.

    Raises:
        ValueError: If it is missing, is not JSON, or lacks what COCO keypoints need.
    """
    content = read_annotations(path, ("images", "annotations", "categories"))
    image_ids = _image_ids(path, content["images"])
    people = [person for person in content["annotations"] if "keypoints" in person]
    if not people:
        raise ValueError(
            f"{path} is not a COCO keypoint file: none of its {len(content['annotations'])} "
            "annotations has 'keypoints'. COCO's own are named person_keypoints_*.json"
        )
    for person in people:
        missing = {"id", "image_id", "category_id", "bbox"} - person.keys()
        name = f"{path}: annotation {person.get('id', '(without id)')}"
        if missing:
            raise ValueError(f"{name} has no {', '.join(sorted(missing))}")
        size = len(person["keypoints"])
        if size % 3 or (num_keypoints and size != 3 * num_keypoints):
            wanted = 3 * num_keypoints if num_keypoints else "a multiple of 3"
            raise ValueError(
                f"{name} has {size} numbers in 'keypoints', where x, y, visibility of "
                f"{num_keypoints or 'each'} keypoints need {wanted}"
            )
        if person["image_id"] not in image_ids:
            raise ValueError(f"{name} is of image {person['image_id']}, which 'images' lacks")
    return image_ids


def check_image_info(path: Path) -> set[int]:
    """Check an image list without annotations (test-dev2017) and return the images' ids.

    Raises:
        ValueError: If it is missing, is not JSON, or lists no images.
    """
    return _image_ids(path, read_annotations(path, ("images", "categories"))["images"])


def check_detections(path: Path, image_ids: set[int], instead: str) -> None:
    """Check a person detection file.

    Args:
        path: The file, a JSON list of boxes with image_id, category_id, bbox and score.
        image_ids: The images of the annotation file that it is used with.
        instead: How to go without it, for the message.

    Raises:
        ValueError: If it is missing, has another form, or is of other images.
    """
    if not path.is_file():
        raise ValueError(
            f"the person detection file {path} does not exist. MMPose's page on COCO links it: "
            f"{DETECTIONS_PAGE}. {instead}"
        )
    for number, detection in enumerate(read_detections(path)):
        if detection["image_id"] not in image_ids:
            raise ValueError(
                f"{path}: box {number} is of image {detection['image_id']}, which the annotation "
                "file lacks: the two belong to different image sets"
            )


def read_detections(path: Path) -> list[dict[str, Any]]:
    """Read a person detection file, a JSON list of boxes with their image_id, category and score.

    Raises:
        ValueError: If it is missing, is not JSON, or has another form.
    """
    detections = _read_json(path)
    if not _is_list_of_dicts(detections) or not detections:
        raise ValueError(f"{path} is not a detection file: it must be a list of boxes")
    for number, detection in enumerate(detections):
        missing = {"image_id", "category_id", "bbox", "score"} - detection.keys()
        if missing:
            raise ValueError(f"{path}: box {number} has no {', '.join(sorted(missing))}")
        box = detection["bbox"]
        if not (isinstance(box, list) and is_box(box[:4])):  # MMPose takes what is behind as well
            raise ValueError(
                f"{path}: the bbox of box {number} must be x, y, width, height, got {box}"
            )
    return detections


def is_box(value: Any) -> bool:
    """Whether a value is x, y, width and height as COCO has them: four finite numbers."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_finite_number, value))


def is_finite_number(value: Any) -> bool:
    """Whether a value of a JSON file is a number that a float can hold."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def check_results(results: Any, image_ids: set[int]) -> None:
    """Check keypoint results against the format that the COCO server takes.

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
        if not all(is_finite_number(value) for value in [*keypoints, person["score"]]):
            raise ValueError(f"result {number}: keypoints and score must be finite numbers")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is not a readable JSON file: {error}") from error


def _image_ids(path: Path, images: list[dict[str, Any]]) -> set[int]:
    if not images:
        raise ValueError(f"{path} lists no images")
    for image in images:
        missing = {"id", "file_name", "width", "height"} - image.keys()
        if missing:
            raise ValueError(f"{path}: image {image.get('id')} has no {sorted(missing)[0]}")
    return {image["id"] for image in images}


def _is_list_of_dicts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
