import json
from pathlib import Path

import pytest

from hrvmamba.coco_files import (
    check_coco_keypoints,
    check_detections,
    check_image_info,
    check_results,
)

IMAGE = {"id": 1, "file_name": "1.jpg", "width": 64, "height": 64}
PERSON = {"id": 5, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "keypoints": [1] * 51}
BOX = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}
RESULT = {"image_id": 1, "category_id": 1, "keypoints": [1.0] * 51, "score": 0.5}


@pytest.fixture
def write(tmp_path):
    def write(content) -> Path:
        path = tmp_path / "file.json"
        path.write_text(json.dumps(content))
        return path

    return write


def annotations(**changes) -> dict:
    return {"images": [IMAGE], "annotations": [PERSON], "categories": [{"id": 1}]} | changes


def without(content: dict, key: str) -> dict:
    return {name: value for name, value in content.items() if name != key}


def test_coco_keypoints(write):
    assert check_coco_keypoints(write(annotations())) == {1}
    # COCO's crowds and an instance file's other objects have no keypoints of their own.
    mixed = annotations(annotations=[PERSON, without(PERSON, "keypoints")])
    assert check_coco_keypoints(write(mixed)) == {1}
    hand = annotations(annotations=[PERSON | {"keypoints": [1] * 63}])
    assert check_coco_keypoints(write(hand), num_keypoints=None) == {1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "holds a list"),
        (annotations(images="1.jpg"), "no list 'images'"),
        (annotations(images=[]), "lists no images"),
        (annotations(images=[without(IMAGE, "height")]), "image 1 has no height"),
        (annotations(annotations=[]), "none of its 0 annotations has 'keypoints'"),
        (annotations(annotations=[without(PERSON, "keypoints")]), "none of its 1"),
        (annotations(annotations=[without(PERSON, "bbox")]), "annotation 5 has no bbox"),
        (annotations(annotations=[PERSON | {"keypoints": [1] * 42}]), "need 51"),
        (annotations(annotations=[PERSON | {"image_id": 2}]), "image 2, which 'images' lacks"),
        (without(annotations(), "categories"), "no list 'categories'"),
    ],
)
def test_not_coco_keypoints(write, content, words):
    with pytest.raises(ValueError, match=words) as error:
        check_coco_keypoints(write(content))
    assert "file.json" in str(error.value)


def test_image_info(write):
    content = without(annotations(), "annotations")
    assert check_image_info(write(content)) == {1}
    with pytest.raises(ValueError, match="no list 'annotations'"):
        check_coco_keypoints(write(content))


def test_detections(write):
    check_detections(write([BOX]), {1}, "")
    for content, words in (
        ({}, "list of boxes"),
        ([], "list of boxes"),
        ([BOX, without(BOX, "score")], "box 1 has no score"),
        ([BOX | {"image_id": 2}], "box 0 is of image 2"),
    ):
        with pytest.raises(ValueError, match=words):
            check_detections(write(content), {1}, "")
    with pytest.raises(ValueError, match=r"none\.json does not exist.*https://.*or go without"):
        check_detections(Path("none.json"), {1}, "or go without")


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ({}, "list of objects"),
        ([RESULT, RESULT | {"bbox": [0, 0, 1, 1]}], "result 1 has"),
        ([without(RESULT, "score")], "result 0 has"),
        ([RESULT | {"image_id": 2}], "image_id 2"),
        ([RESULT | {"image_id": 1.0}], "image_id 1.0"),
        ([RESULT | {"category_id": 2}], "category_id is 2"),
        ([RESULT | {"keypoints": [1.0] * 50}], "51 numbers"),
        ([RESULT | {"keypoints": [float("nan")] * 51}], "finite"),
        ([RESULT | {"score": float("inf")}], "finite"),
        ([RESULT | {"score": "high"}], "finite"),
    ],
)
def test_results_of_another_form(results, words):
    check_results([RESULT], {1})
    with pytest.raises(ValueError, match=words):
        check_results(results, {1})
