import numpy as np
import pytest

from hrvmamba.visualization.drawing import draw_heatmaps, draw_people
from hrvmamba.visualization.skeleton import Skeleton

SKELETON = Skeleton(
    ("head", "left", "right"),
    ((0, 1), (0, 2)),
    np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8),
    np.array([[255, 255, 0], [0, 255, 255]], np.uint8),
)
KEYPOINTS = np.array([[[80, 20], [30, 90], [130, 90]]], np.float32)


@pytest.fixture
def ground():
    return np.full((120, 160, 3), 200, np.uint8)


def colours_at(image, places):
    return [image[y, x, ::-1].tolist() for x, y in places]


def test_dots_and_links_have_the_skeletons_colours(ground):
    drawn = draw_people(ground, KEYPOINTS, np.ones((1, 3), bool), SKELETON)
    assert colours_at(drawn, KEYPOINTS[0].astype(int)) == SKELETON.keypoint_colours.tolist()
    middles = [(55, 55), (105, 55)]
    np.testing.assert_allclose(colours_at(drawn, middles), SKELETON.link_colours, atol=8)
    assert (ground == 200).all()  # the image itself is left as it is


def test_links_need_both_ends(ground):
    drawn = draw_people(ground, KEYPOINTS, np.array([[True, True, False]]), SKELETON)
    assert colours_at(drawn, [(105, 55), (130, 90)]) == [[200] * 3] * 2
    np.testing.assert_allclose(colours_at(drawn, [(55, 55)]), [[255, 255, 0]], atol=8)
    nobody = draw_people(ground, KEYPOINTS, np.zeros((1, 3), bool), SKELETON)
    np.testing.assert_array_equal(nobody, ground)
    np.testing.assert_array_equal(
        draw_people(ground, np.zeros((0, 3, 2)), np.zeros((0, 3), bool), SKELETON), ground
    )


def test_keypoints_far_outside_do_no_harm(ground):
    far = KEYPOINTS.copy()
    far[0, 1] = [-1e9, 1e9]
    drawn = draw_people(ground, far, np.ones((1, 3), bool), SKELETON)
    assert colours_at(drawn, [(130, 90)]) == [[0, 0, 255]]


def test_lines_are_as_wide_as_a_person_asks_for():
    ground = np.full((1200, 1600, 3), 200, np.uint8)
    painted = []
    for scale in (0.2, 9.0):
        drawn = draw_people(ground, KEYPOINTS * scale, np.ones((1, 3), bool), SKELETON)
        row = drawn[round(55 * scale)]
        painted.append((row != 200).any(1).sum())
    assert painted[0] < 12 < 3 * painted[0] < painted[1]


def test_heatmaps_lie_where_their_crops_are(ground):
    heatmaps = np.zeros((1, 3, 12, 8), np.float32)
    heatmaps[0, 1, 6, 2] = 1.0
    heatmaps[0, 2, 9, 6] = 0.5
    drawn = draw_heatmaps(ground, heatmaps, np.array([[40, 0, 80, 120]]), SKELETON)
    full, half = colours_at(drawn, [(60, 60), (100, 90)])
    assert full == [50, 241, 50]  # 0.75 of green over grey
    assert half == [125, 125, 221]
    assert (drawn[:, :40] == 200).all() and (drawn[:, 121:] == 200).all()
    none = draw_heatmaps(ground, np.zeros((0, 3, 12, 8)), np.zeros((0, 4)), SKELETON)
    np.testing.assert_array_equal(none, ground)
