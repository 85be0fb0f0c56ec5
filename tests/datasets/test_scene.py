"""What is annotated, against what is drawn."""

import numpy as np
import pytest

from hrvmamba.datasets.keypoints import KEYPOINT_INDEX
from hrvmamba.datasets.mesh import Camera, Mesh, box
from hrvmamba.datasets.outfit import sample_outfit
from hrvmamba.datasets.scene import CASTS, SUPERSAMPLING, Person, draw_scene, render_scene
from hrvmamba.datasets.skeleton import POSES, make_pose, sample_body

CAMERA = Camera(focal=250, centre_x=64, centre_y=64, distance=4, height=0.85, pitch=0, roll=0)
BACKGROUND = np.full((128, 128, 3), 90, np.uint8)
LIGHT = np.array([0.0, 0.6, 0.8])


def standing(yaw: float, x: float = 0.0, z: float = 0.0, hair_style: str = "short") -> Person:
    rng = np.random.default_rng(11)
    body = sample_body(np.random.default_rng(0))
    outfit = sample_outfit(rng)
    object.__setattr__(outfit, "hair_style", hair_style)
    object.__setattr__(outfit, "hat", "none")
    arms = {"left_shoulder_abduction": 25, "right_shoulder_abduction": 25}
    return Person(body, make_pose("standing", arms), yaw, x, z, outfit)


def render(people: list[Person], things: Mesh | None = None, camera: Camera = CAMERA):
    rng = np.random.default_rng(0)
    things = Mesh() if things is None else things
    scene, _ = render_scene(rng, people, things, camera, BACKGROUND, LIGHT, 0.5)
    return scene


def keypoints(scene, index: int = 0) -> np.ndarray:
    return np.reshape(scene.annotations[index]["keypoints"], (17, 3))


def rows(*names: str) -> list[int]:
    return [KEYPOINT_INDEX[name] for name in names]


def test_frontal_person_has_the_left_on_the_images_right_and_shows_the_face():
    found = keypoints(render([standing(yaw=0)]))
    for joint in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        left, right = found[rows(f"left_{joint}", f"right_{joint}")]
        assert left[0] > right[0]
    assert (found[:, 2] == 2).all()


def test_person_seen_from_behind_has_the_left_on_the_left_and_hides_the_face():
    found = keypoints(render([standing(yaw=180)]))
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        left, right = found[rows(f"left_{joint}", f"right_{joint}")]
        assert left[0] < right[0]
        assert left[2] == right[2] == 2
    assert (found[rows("nose", "left_eye", "right_eye"), 2] == 1).all()


@pytest.mark.parametrize(("yaw", "near", "far"), [(90, "right", "left"), (-90, "left", "right")])
def test_side_view_hides_the_far_side(yaw, near, far):
    found = keypoints(render([standing(yaw=yaw)]))
    assert (found[rows(f"{near}_shoulder", f"{near}_knee", f"{near}_ear"), 2] == 2).all()
    assert (found[rows(f"{far}_shoulder", f"{far}_knee", f"{far}_ear", f"{far}_eye"), 2] == 1).all()
    nose, ear = found[rows("nose", f"{near}_ear")]
    assert (nose[0] - ear[0]) * np.sign(yaw) > 0  # the nose is where the face looks


def test_things_in_front_hide_what_they_cover_and_nothing_else():
    things = Mesh()
    things.add(box(np.array([2.0, 0.7, 0.2])) + [0, 0.35, 1.0], [10, 10, 10])
    free, covered = keypoints(render([standing(0)])), keypoints(render([standing(0)], things))
    legs = rows("left_knee", "right_knee", "left_ankle", "right_ankle")
    assert (covered[legs, 2] == 1).all()
    rest = np.setdiff1d(np.arange(17), legs)
    np.testing.assert_array_equal(covered[rest], free[rest])
    np.testing.assert_array_equal(covered[:, :2], free[:, :2])  # hidden, but where they are


def test_nearer_person_hides_the_farther_one_in_either_order():
    for people in ([standing(0), standing(0, z=1.0)], [standing(0, z=1.0), standing(0)]):
        scene = render(people)
        far = 0 if people[0].z == 0 else 1
        assert (keypoints(scene, 1 - far)[:, 2] == 2).sum() == 17 - (
            keypoints(scene, 1 - far)[:, 2] == 0
        ).sum()
        hidden = rows("left_hip", "right_hip", "left_shoulder", "right_shoulder")
        assert (keypoints(scene, far)[hidden, 2] == 1).all()


def test_keypoints_outside_the_image_are_zero():
    camera = Camera(focal=250, centre_x=64, centre_y=135, distance=4, height=0.85, pitch=0, roll=0)
    found = keypoints(render([standing(0)], camera=camera))
    outside = found[:, 2] == 0
    assert outside[rows("left_ankle", "right_ankle", "left_knee")].all()
    assert not outside[rows("nose", "left_shoulder")].any()
    assert (found[outside] == 0).all()


@pytest.mark.parametrize("number", range(12))
def test_scenes_agree_with_who_was_drawn_where(number):
    size = (160, 128)
    scene = draw_scene(np.random.default_rng(number), size)
    assert scene.image.shape == (128, 160, 3) and scene.image.dtype == np.uint8
    assert scene.owners.shape == (128 * SUPERSAMPLING, 160 * SUPERSAMPLING)
    assert scene.annotations
    for index, annotation in enumerate(scene.annotations):
        found = np.reshape(annotation["keypoints"], (17, 3))
        assert annotation["num_keypoints"] == np.count_nonzero(found[:, 2])
        assert np.count_nonzero(found[:, 2] == 2) >= 6
        for x, y, flag in found:
            assert flag in (0, 1, 2)
            if flag == 0:
                assert x == y == 0
                continue
            assert 0 <= x < size[0] and 0 <= y < size[1]
            owner = scene.owners[int(y * SUPERSAMPLING), int(x * SUPERSAMPLING)]
            if flag == 2:
                assert owner == index
        mine = scene.owners == index
        pixels = mine.reshape(128, SUPERSAMPLING, 160, SUPERSAMPLING).mean(axis=(1, 3)) >= 0.5
        assert annotation["area"] == pixels.sum()
        ys, xs = np.nonzero(pixels)
        x, y, width, height = annotation["bbox"]
        assert (x, y, x + width, y + height) == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_same_state_gives_the_same_scene_and_another_one_another():
    first, again, other = (draw_scene(np.random.default_rng(s), (96, 96)) for s in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.annotations == again.annotations
    assert (first.image != other.image).any()


@pytest.mark.parametrize("size", [(32, 256), (256,), (100.5, 256)])
def test_image_size_is_checked(size):
    with pytest.raises(ValueError, match="image_size"):
        draw_scene(np.random.default_rng(0), size)


def test_the_simple_cast_is_one_whole_person_seen_from_the_front():
    for seed in range(12):
        scene = draw_scene(np.random.default_rng(seed), (128, 128), CASTS["simple"])
        (person,) = scene.annotations
        left, right = np.reshape(person["keypoints"], (17, 3))[rows("left_hip", "right_hip")]
        assert left[0] > right[0]
        assert person["num_keypoints"] >= 15  # the border may cut a hand off


def test_casts_are_shares_of_known_poses():
    for cast in CASTS.values():
        assert set(cast.poses) <= set(POSES)
        assert sum(cast.poses.values()) == pytest.approx(1)
        assert sum(cast.people) == pytest.approx(1)
        assert cast.facing + cast.averted <= 1
