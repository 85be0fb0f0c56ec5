import json
import warnings

import numpy as np
import pytest

from hrvmamba.inference.coco_boxes import CocoBoxes

IMAGES = [
    {"id": 139, "file_name": "000000000139.jpg", "width": 100, "height": 80},
    {"id": 7, "file_name": "more/b.png", "width": 100, "height": 80},
]
PERSON = {"id": 1, "image_id": 139, "category_id": 1, "bbox": [10, 20, 30, 40]}


@pytest.fixture
def write(tmp_path):
    """Write annotations, or a list of detections, and return the file."""

    def write(annotations=None, detections=None, categories=({"id": 1, "name": "person"},)):
        if detections is not None:
            content, path = detections, tmp_path / "detections.json"
        else:
            content = {"images": IMAGES, "annotations": annotations, "categories": list(categories)}
            path = tmp_path / "annotations.json"
        path.write_text(json.dumps(content))
        return path

    return write


def detection(image_id, box, score, **more):
    return {"image_id": image_id, "category_id": 1, "bbox": box, "score": score, **more}


def test_annotated_people_but_for_crowds(write):
    others = [
        {**PERSON, "id": 2, "iscrowd": 1},
        {**PERSON, "id": 3, "category_id": 2},
        {**PERSON, "id": 4, "bbox": [5, 5, 0, 9]},
        {**PERSON, "id": 5, "bbox": [90, -10, 30, 40]},
        {**PERSON, "id": 6, "bbox": None},
    ]
    boxes = CocoBoxes(write([PERSON, *others]))
    found, scores = boxes("000000000139.jpg")
    np.testing.assert_array_equal(found, [[10, 20, 30, 40], [90, 0, 9, 30]])
    np.testing.assert_array_equal(scores, [1, 1])
    found, scores = boxes("more/b.png")
    assert found.shape == (0, 4) and scores.shape == (0,)
    assert boxes.image_id("b.png") == boxes.image_id("more/b.png") == 7
    with pytest.raises(ValueError, match=r"annotations\.json does not have this image"):
        boxes("c.png")


def test_without_a_category_person_all_categories_are(write):
    boxes = CocoBoxes(write([{**PERSON, "category_id": 9}], categories=[{"id": 9, "name": "dog"}]))
    assert len(boxes("000000000139.jpg")[0]) == 1


def test_annotated_boxes_are_those_of_mmposes_data_set(shared):
    pytest.importorskip("mmpose")
    from mmpose.datasets.datasets import CocoDataset

    import hrvmamba  # noqa: F401

    annotations = "annotations/person_keypoints_val2017.json"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The metainfo config file")
        dataset = CocoDataset(
            annotations,
            data_root=str(shared / "data/coco_mini"),
            data_prefix={"img": "val2017/"},
            data_mode="topdown",
        )
    boxes = CocoBoxes(shared / "data/coco_mini" / annotations)
    people = [dataset.get_data_info(index) for index in range(len(dataset))]
    for image_id in {person["img_id"] for person in people}:
        found, _ = boxes(f"{image_id:012}.jpg")
        corners = np.hstack([found[:, :2], found[:, :2] + found[:, 2:]])
        for person in people:
            if person["img_id"] == image_id:
                assert np.abs(corners - person["bbox"]).max(1).min() < 1e-4


def test_detections_are_known_by_numbers(write):
    found = [detection(139, [1, 2, 3, 4], 0.9), detection(139, [5, 6, 7, 8], 0.2)]
    found.append({**found[0], "category_id": 2})
    boxes = CocoBoxes(None, write(detections=found), threshold=0.3)
    got, scores = boxes("folder/000000000139.jpg")
    np.testing.assert_array_equal(got, [[1, 2, 3, 4]])
    np.testing.assert_allclose(scores, [0.9])
    assert len(boxes("140.jpg")[0]) == 0
    with pytest.raises(ValueError, match="name an annotation file"):
        boxes("a.jpg")
    assert len(CocoBoxes(None, write(detections=found))("139.jpg")[0]) == 2


def test_annotations_tell_the_ids_of_detections(write):
    boxes = CocoBoxes(write([PERSON]), write(detections=[detection(7, [1, 2, 3, 4], 0.9)]))
    assert boxes("more/b.png")[0].tolist() == [[1, 2, 3, 4]]
    assert len(boxes("000000000139.jpg")[0]) == 0  # annotated, but not detected


def test_detections_may_name_their_files(write):
    """As the results of `hrvmamba infer` do."""
    boxes = CocoBoxes(
        None, write(detections=[detection(3, [1, 2, 3, 4, 0.5], 0.9, file_name="a.jpg")])
    )
    assert boxes.image_id("a.jpg") == 3 and boxes("a.jpg")[0].tolist() == [[1, 2, 3, 4]]


def test_refuses(write, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        CocoBoxes(tmp_path / "none.json")
    with pytest.raises(ValueError, match="the bbox of box 0 must be x, y, width, height"):
        CocoBoxes(None, write(detections=[detection(1, [1, 2, 3], 0.5)]))
    with pytest.raises(ValueError, match="box 0 has no score"):
        CocoBoxes(None, write(detections=[{"image_id": 1, "category_id": 1, "bbox": []}]))
    IMAGES_WITHOUT = [{"id": 1}]
    path = write([])
    path.write_text(json.dumps({"images": IMAGES_WITHOUT, "annotations": [], "categories": []}))
    with pytest.raises(ValueError, match="image 1 has no file_name"):
        CocoBoxes(path)
