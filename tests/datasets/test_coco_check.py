"""Every fault is found where it is, and a sound file has none."""

import copy
import json

import cv2
import numpy as np
import pytest

from hrvmamba.datasets.coco_check import check_dataset

NAMES = ["head", "left_hand", "right_hand"]
IMAGE = {"id": 1, "file_name": "a.png", "width": 80, "height": 60}
PERSON = {
    "id": 11,
    "image_id": 1,
    "category_id": 1,
    "bbox": [10, 5, 40, 50],
    "area": 1060.0,
    "iscrowd": 0,
    "num_keypoints": 3,
    "keypoints": [30, 10, 2, 15, 30, 1, 45, 30, 2],
}
CATEGORY = {"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}
SOUND = {"images": [IMAGE], "annotations": [PERSON], "categories": [CATEGORY]}


@pytest.fixture
def check(tmp_path):
    """Check a file of some content, and the images of the folder if asked to."""

    def check(content, images=False, names=None):
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(content))
        return check_dataset(path, tmp_path if images else None, names)

    return check


def said(check) -> list[str]:
    return [str(problem) for problem in check.problems]


def test_a_sound_file_has_no_problems(check, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((60, 80, 3), np.uint8))
    found = check(SOUND, images=True, names=NAMES)
    assert said(found) == []
    assert found.names == tuple(NAMES) and found.people == [PERSON]
    assert found.labelled.tolist() == [1, 1, 1] and found.visible.tolist() == [1, 0, 1]


def test_cocos_own_files_are_sound(shared):
    folder = shared / "data/coco_mini"
    for split, people in (("train2017", 86), ("val2017", 44)):
        path = folder / f"annotations/person_keypoints_{split}.json"
        found = check_dataset(path, folder / split)
        assert said(found) == [] and len(found.people) == people


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"id": "11"}, "id must be a whole number, got '11'"),
        ({"image_id": 2}, "image_id 2 is no image's"),
        ({"image_id": [1]}, "image_id [1] is no image's"),
        ({"category_id": 7}, "category_id 7 is no category's"),
        ({"bbox": [1, 2, 3]}, "bbox must be four numbers: x, y, width, height; got [1, 2, 3]"),
        ({"bbox": [1, 2, 3, None]}, "bbox must be four numbers"),
        ({"bbox": [10, 5, 0, 50]}, "bbox must have a width and a height above 0"),
        ({"bbox": [90, 5, 9, 9]}, "lies outside its image, which is 80 x 60"),
        ({"bbox": [40, 5, 45, 50]}, "reaches beyond its image of 80 x 60 pixels; is it x1, y1"),
        ({"bbox": [60, 40, 9, 9]}, "3 of 3 keypoints lie far outside bbox"),
        ({"keypoints": [30, 10, 2]}, "which is 9 numbers; got 3 numbers"),
        ({"keypoints": None}, "which is 9 numbers; got None"),
        ({"keypoints": [30, 10, 2, 15, 30, 1, 45, "x", 2]}, "keypoints must be finite numbers"),
        ({"keypoints": [30, 10, 3, 15, 30, 1, 45, 30, 2]}, "keypoint 0 has visibility 3"),
        ({"keypoints": [30, 10, 2, -5, 30, 1, 45, 30, 2]}, "keypoint 1 at (-5, 30) lies outside"),
        ({"keypoints": [30, 10, 2, 99, 99, 0, 45, 30, 2]}, "num_keypoints is 3, but 2 are"),
        ({"id": [11]}, "id must be a whole number, got [11]"),
        ({"id": 0}, "id must not be 0, which pycocotools takes"),
        ({"bbox": [-4, 5, 40, 50]}, "reaches beyond its image of 80 x 60 pixels"),
        ({"bbox": [10, 5, 10**400, 50]}, "bbox must be four numbers"),
        ({"num_keypoints": None}, "num_keypoints is None, but 3 are labelled"),
        ({"num_keypoints": [3, 3]}, "num_keypoints is [3, 3], but 3 are labelled"),
        ({"area": 0}, "area must be a number of pixels above 0, got 0"),
        ({"area": float("nan")}, "area must be a number of pixels above 0, got nan"),
        ({"iscrowd": 2}, "iscrowd must be 0 or 1, got 2"),
        ({"area": ...}, "has no area. COCO's AP needs it"),
        ({"iscrowd": ...}, "has no iscrowd"),
        ({"num_keypoints": ...}, "has no num_keypoints"),
    ],
    ids=str,
)
def test_faults_of_an_annotation(check, changed, expected):
    content = copy.deepcopy(SOUND)
    sound = {**PERSON, "id": 12}  # beside it, so that each keypoint is labelled
    changed = {key: value for key, value in (PERSON | changed).items() if value is not ...}
    content["annotations"] = [sound, changed]
    (problem,) = said(check(content))
    assert problem.startswith(f"annotation {changed['id']}: ") and expected in problem


def test_crowds_may_have_any_keypoints(check):
    crowd = {**PERSON, "id": 12, "iscrowd": 1, "bbox": None, "keypoints": [0]}
    content = copy.deepcopy(SOUND)
    content["annotations"].append(crowd)
    assert said(check(content)) == []


@pytest.mark.parametrize(
    ("part", "entries", "expected"),
    [
        ("images", [IMAGE, {**IMAGE, "file_name": "b.png"}], "image 1: its id is given 2 times"),
        ("images", [IMAGE, {**IMAGE, "id": 2}], "file_name a.png: is that of 2 images"),
        ("images", [IMAGE, {**IMAGE, "id": None, "file_name": "b"}], "image None: id must be a"),
        ("images", [IMAGE, {"id": 2, "width": 8, "height": 8}], "image 2: file_name must be a"),
        ("images", [IMAGE, {**IMAGE, "id": 2, "file_name": "b", "width": 0}], "must be pixels"),
        ("annotations", [PERSON, PERSON], "annotation 11: its id is given 2 times"),
        ("categories", [CATEGORY, CATEGORY], "category 1: its id is given 2 times"),
        ("images", [IMAGE, {**IMAGE, "id": [2], "file_name": "b"}], "image [2]: id must be a"),
        ("images", [IMAGE, {**IMAGE, "id": 2, "file_name": ["b"]}], "must be a path, got ['b']"),
        ("categories", [CATEGORY, {"id": {}, "name": "dog"}], "category {}: id must be a whole"),
        ("categories", [CATEGORY | {"skeleton": 5}], "from 1 to 3, got 5"),
        ("categories", [CATEGORY | {"skeleton": [[0, 1]]}], "from 1 to 3, got [0, 1]"),
        ("categories", [CATEGORY | {"keypoints": ["a", "a", "b"]}], "has 2 keypoints called a"),
        ("categories", [CATEGORY | {"keypoints": 3}], "keypoints must be a list of names"),
    ],
)
def test_faults_of_the_other_parts(check, part, entries, expected):
    problems = said(check(SOUND | {part: entries}))
    assert len(problems) == 1 and expected in problems[0]


def test_names_that_are_not_the_configs(check):
    swapped = ["head", "right_hand", "left_hand"]
    (problem,) = said(check(SOUND, names=swapped))
    assert "number 1 is left_hand here, and right_hand there" in problem
    problems = check(SOUND, names=[*NAMES, "foot"]).problems
    assert [problem.kind for problem in problems] == ["keypoint names", "keypoints"]
    assert "number 3 is none here, and foot there" in problems[0].what
    assert "12 numbers; got 9 numbers" in problems[1].what


def test_a_keypoint_that_nobody_has(check):
    person = {**PERSON, "keypoints": [30, 10, 2, 15, 30, 1, 0, 0, 0], "num_keypoints": 2}
    assert said(check(SOUND | {"annotations": [person]})) == [
        "keypoint right_hand: is never labelled"
    ]


def test_files_without_keypoints_or_anything(check):
    box = {key: value for key, value in PERSON.items() if key != "keypoints"}
    (problem,) = said(check(SOUND | {"annotations": [box]}))
    assert "none of its 1 annotations has keypoints" in problem
    empty = {"images": [], "annotations": [], "categories": []}
    assert len(check(empty).problems) == 3 and check(empty).people == []
    with pytest.raises(ValueError, match="has no list 'annotations'"):
        check({"images": []})


def test_keypoints_without_names_are_counted(check):
    bare = {"id": 1, "name": "person"}
    found = check(SOUND | {"categories": [bare]})
    assert found.names == ("0", "1", "2") and said(found) == []
    assert found.skeleton().links == ()


def test_images_are_looked_at(check, tmp_path):
    images = [IMAGE | {"id": number, "file_name": f"{number}.jpg"} for number in (1, 2, 3, 4, 5)]
    cv2.imwrite(str(tmp_path / "1.jpg"), np.zeros((60, 80, 3), np.uint8))
    (tmp_path / "2.jpg").write_bytes(b"no image")
    cv2.imwrite(str(tmp_path / "3.jpg"), np.zeros((30, 40, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "4.jpg"), np.zeros((80, 60, 3), np.uint8))
    problems = said(check(SOUND | {"images": images}, images=True))
    endings = (
        "2.jpg: is damaged, or no image",
        "3.jpg: is 40 x 30 pixels, where the file says 80 x 60",
        "4.jpg: is 60 x 80 pixels, turned as its EXIF data says, where the file says 80 x 60",
        "5.jpg: cannot be read: No such file or directory",
    )
    for number, (problem, ending) in enumerate(zip(problems, endings, strict=True), start=2):
        assert problem.startswith(f"image {number}, ") and problem.endswith(ending)


def test_the_skeleton_is_the_categorys(check):
    skeleton = check(SOUND).skeleton()
    assert skeleton.links == ((0, 1), (0, 2)) and skeleton.names == tuple(NAMES)
