import json

import cv2
import numpy as np
import pytest

from hrvmamba.datasets.coco_check import check_dataset
from hrvmamba.datasets.contact_sheet import contact_sheet
from hrvmamba.visualization.skeleton import Skeleton

SKELETON = Skeleton(
    ("head", "foot"),
    ((0, 1),),
    np.array([[255, 0, 0], [0, 255, 0]], np.uint8),
    np.array([[0, 0, 255]], np.uint8),
)


@pytest.fixture
def check(tmp_path):
    """Ten people in ten images of growing brightness, one of which is not there."""
    images, annotations = [], []
    for number in range(10):
        name = f"{number}.png"
        if number:
            cv2.imwrite(str(tmp_path / name), np.full((100, 80, 3), 100 + 10 * number, np.uint8))
        images.append({"id": number, "file_name": name, "width": 80, "height": 100})
        keypoints = [40, 20, 2, 40, 80, 1 + number % 2]
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1, "bbox": [20, 10, 40, 80]}
            | {"keypoints": keypoints}
        )
    annotations.append({**annotations[3], "id": 10, "keypoints": [0] * 6})
    annotations.append({**annotations[3], "id": 11, "bbox": [0, 0, 0, 0]})
    content = {"images": images, "annotations": annotations, "categories": []}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    return check_dataset(tmp_path / "annotations.json")


def test_people_are_spread_over_the_set(check, tmp_path):
    sheet, drawn = contact_sheet(check, tmp_path, SKELETON, count=4)
    assert drawn == 3  # of 0, 3, 6 and 9, the image of 0 is missing
    grounds = [sheet[150, 6 + 246 * column + 100].tolist() for column in range(3)]
    assert grounds == [[130] * 3, [160] * 3, [190] * 3]
    sheet, drawn = contact_sheet(check, tmp_path, SKELETON)
    assert drawn == 9 and len(sheet) > 2 * 320  # two rows


def test_a_person_is_padded_and_drawn_in_the_skeletons_colours(check, tmp_path):
    """80 pixels of 100 become 256 of 320: the keypoints are 96 above and below the middle."""
    sheet, _ = contact_sheet(check, tmp_path, SKELETON, count=1000)
    tile = sheet[len(sheet) - 2 * 360 :][:320, 6:246, ::-1]  # of image 1, whose foot is visible
    assert tile[160 - 96, 120].tolist() == [255, 0, 0]
    assert tile[160 + 96, 120].tolist() == [0, 255, 0]
    assert tile[160, 120, 2] > 200 > 100 > tile[160, 120, 0]
    assert tile[160 - 128, 80].tolist() == [255] * 3  # the box
    hidden = sheet[len(sheet) - 2 * 360 :][:320, 252:492, ::-1]  # of image 2
    assert hidden[160 - 96, 120].tolist() == [255, 0, 0] and hidden[160 + 96, 120].max() < 100


def test_the_legend_names_all_keypoints(check, tmp_path):
    names = tuple(f"keypoint {number}" for number in range(60))
    colours = np.tile(np.array([[7, 8, 9]], np.uint8), (60, 1))
    check.content["annotations"].clear()
    skeleton = Skeleton(names, (), colours, np.zeros((0, 3), np.uint8))
    legend, _ = contact_sheet(check, tmp_path, skeleton)
    dots, _ = cv2.connectedComponents((legend == (9, 8, 7)).all(-1).astype(np.uint8))
    assert dots - 1 == 60


def test_without_people_it_is_the_legend_alone(check, tmp_path):
    check.content["annotations"].clear()
    sheet, drawn = contact_sheet(check, tmp_path, SKELETON)
    assert drawn == 0 and len(sheet) < 60
