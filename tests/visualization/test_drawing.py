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


def test_lines_fit_the_length_that_is_given():
    """One keypoint alone tells no length."""
    ground = np.full((1200, 1600, 3), 200, np.uint8)
    alone = np.array([[True, False, False]])
    areas = [
        (draw_people(ground, KEYPOINTS, alone, SKELETON, lengths=lengths) != 200).any(-1).sum()
        for lengths in (None, np.array([80.0]), np.array([600.0]))
    ]
    assert areas[0] < 60 and areas[1] < 2 * areas[0] and areas[2] > 6 * areas[0]


def test_heatmaps_lie_where_their_crops_are(ground):
    heatmaps = np.zeros((1, 3, 12, 8), np.float32)
    heatmaps[0, 1, 6, 2] = 1.0
    heatmaps[0, 2, 9, 6] = 0.5
    drawn = draw_heatmaps(ground, heatmaps, np.array([[40, 0, 80, 120]]), SKELETON)
    full, half = colours_at(drawn, [(60, 60), (100, 90)])
    np.testing.assert_allclose(full, [16, 245.5, 16], atol=0.5)  # 0.9 of green over 0.8 of 200
    root = 0.9 * 0.5**0.5
    np.testing.assert_allclose(
        half, np.array([160, 160, 160]) * (1 - root) + np.array([0, 0, 255]) * root, atol=0.5
    )
    assert (drawn[:, :40] == 160).all() and (drawn[:, 121:] == 160).all()
    assert (ground == 200).all()
    none = draw_heatmaps(ground, np.zeros((0, 3, 12, 8)), np.zeros((0, 4)), SKELETON)
    assert (none == 160).all()


def test_heatmaps_may_reach_beyond_the_image(ground):
    """Shifted by half the image, the parts that both show are the same."""
    heatmaps = np.random.default_rng(0).uniform(size=(1, 3, 12, 8)).astype(np.float32)
    inside = draw_heatmaps(ground, heatmaps, np.array([[80.0, 60.0, 80.0, 60.0]]), SKELETON)
    beyond = draw_heatmaps(ground, heatmaps, np.array([[-0.0, 0.0, 80.0, 60.0]]), SKELETON)
    np.testing.assert_array_equal(beyond[:60, :80], inside[60:, 80:])
    cut = draw_heatmaps(ground, heatmaps, np.array([[-40.0, -30.0, 80.0, 60.0]]), SKELETON)
    np.testing.assert_allclose(cut[:30, :40].astype(int), inside[90:, 120:], atol=1)
    away = draw_heatmaps(ground, heatmaps, np.array([[500.0, 0.0, 80.0, 60.0]]), SKELETON)
    assert (away == 160).all()
