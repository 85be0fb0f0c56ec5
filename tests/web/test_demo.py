"""What the page shows, with a small model of random weights."""

import cv2
import numpy as np
import pytest

from hrvmamba.inference import PoseInferencer
from hrvmamba.web.demo import DETECTED, TYPED, WHOLE, Demo

TEXT = "12 8 40 90\n100 20 55 80"
BOXES = np.array([[12, 8, 40, 90], [100, 20, 55, 80]], np.float32)


@pytest.fixture(scope="module")
def infer(weights) -> PoseInferencer:
    return PoseInferencer(*weights)


@pytest.fixture(scope="module")
def demo(infer) -> Demo:
    return Demo("nano", infer, lambda image: (BOXES[1:], np.array([0.5], np.float32)))


@pytest.fixture
def path(image, tmp_path) -> str:
    cv2.imwrite(str(tmp_path / "picture.png"), image)
    return str(tmp_path / "picture.png")


@pytest.mark.parametrize(
    ("source", "boxes", "scores"),
    [(WHOLE, None, [1]), (TYPED, BOXES, [1, 1]), (DETECTED, BOXES[1:], [0.5])],
)
def test_people_are_those_of_the_inferencer(demo, infer, path, image, source, boxes, scores):
    found = demo.find(path, source, TEXT)
    (people,) = infer(image, boxes)
    np.testing.assert_array_equal(found.image, image)
    np.testing.assert_array_equal(found.people.keypoints, people.keypoints)
    np.testing.assert_array_equal(found.people.box_scores, scores)


def test_a_detector_that_finds_nobody(infer, path):
    demo = Demo("nano", infer, lambda image: (np.zeros((0, 4)), np.zeros(0)))
    with pytest.raises(ValueError, match="the detector finds no people"):
        demo.find(path, DETECTED, "")


def test_skeletons(demo, path, image):
    found = demo.find(path, TYPED, TEXT)
    drawn = demo.skeletons(found)
    assert (drawn[98, 14:50] == 255).all()  # the lower side of the first box
    changed = (drawn[..., ::-1] != image).any(-1)
    assert changed.mean() < 0.6
    places = found.people.keypoints.round().astype(int)
    inside = ((places >= 0) & (places < image.shape[1::-1])).all(-1)
    shown = inside & (found.people.scores >= 0.3)
    assert shown.any()
    assert all(changed[y, x] for x, y in places[shown])


def test_rows(demo, path):
    found = demo.find(path, TYPED, TEXT)
    for person in (0, 1):
        rows = demo.rows(found, person)
        assert [row[0] for row in rows[:2]] == ["nose", "left_eye"]
        people = found.people
        places = np.array([row[1:3] for row in rows], float)
        np.testing.assert_allclose(places, people.keypoints[person], atol=0.051)
        scores = np.array([row[3] for row in rows], float)
        np.testing.assert_allclose(scores, people.scores[person], atol=0.00051)


def test_heatmaps(demo, path):
    found = demo.find(path, TYPED, TEXT)
    first, second = demo.heatmaps(found, 0), demo.heatmaps(found, 1)
    assert first.ndim == 3 and first.shape[2] == 3 and first.dtype == np.uint8
    assert first.shape != second.shape or (first != second).any()


def test_activation(demo, path):
    """The figures are of the block and of the point that are chosen."""
    found = demo.find(path, TYPED, TEXT)
    center = demo.center(found, 0)
    assert center == (32, 53)
    assert demo.blocks[0] == "stage 4, branch 0"
    assert len(demo.blocks) == 9 and demo.blocks[-1] == "stage 2, branch 1"
    activation, sampling = demo.activation(found, 0, demo.blocks[0], center)
    assert activation.dtype == sampling.dtype == np.uint8
    for block, point in ((demo.blocks[1], center), (demo.blocks[0], (20, 30))):
        other, _ = demo.activation(found, 0, block, point)
        assert other.shape != activation.shape or (other != activation).any()


def test_the_place_of_a_point(demo, path, image):
    found = demo.find(path, TYPED, TEXT)
    marked = demo.place(found, 0, (32, 53))
    assert (marked[..., ::-1][20, 32] == image[20, 32]).all()
    assert (marked[..., ::-1][60, 160] < image[60, 160]).all()
    with pytest.raises(ValueError, match="sees person 1 in what is not dim"):
        demo.place(found, 0, (160, 60))


def test_another_backbone_is_refused():
    config = (
        "mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py"
    )
    from mmengine.hub import get_config

    with pytest.warns(UserWarning, match="no checkpoint"):
        infer = PoseInferencer(get_config(config))
    with pytest.raises(ValueError, match="the backbone must be HRVMamba, got HRNet"):
        Demo("hrnet", infer, None)
