"""The skeleton: bone lengths, sides, joint limits."""

import numpy as np
import pytest

from hrvmamba.datasets.skeleton import (
    JOINT_LIMITS,
    POSES,
    make_pose,
    pose_skeleton,
    sample_body,
    sample_pose,
)

BONES = {
    "upper_arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "wrist"),
    "thigh": ("hip", "knee"),
    "shank": ("knee", "ankle"),
}


@pytest.mark.parametrize("name", POSES)
def test_bones_keep_their_length_in_every_pose(name):
    rng = np.random.default_rng(3)
    body = sample_body(rng)
    for _ in range(5):
        joints = pose_skeleton(body, sample_pose(rng, name)).joints
        for bone, (start, end) in BONES.items():
            for side in ("left", "right"):
                length = np.linalg.norm(joints[f"{side}_{start}"] - joints[f"{side}_{end}"])
                assert length == pytest.approx(getattr(body, bone), rel=1e-9)
        hips = np.linalg.norm(joints["left_hip"] - joints["right_hip"])
        assert hips == pytest.approx(2 * body.hip, rel=1e-9)


@pytest.mark.parametrize("name", POSES)
def test_angles_stay_within_the_joints_limits(name):
    rng = np.random.default_rng(4)
    for _ in range(20):
        angles = sample_pose(rng, name).angles
        assert set(angles) == set(JOINT_LIMITS)
        for key, (low, high) in JOINT_LIMITS.items():
            assert low <= angles[key] <= high


def test_upright_person_is_as_tall_as_the_stature_and_left_is_left():
    body = sample_body(np.random.default_rng(0))
    joints = pose_skeleton(body, make_pose("upright", {})).joints
    assert joints["head"][1] + 0.5 * body.head == pytest.approx(body.stature, rel=0.1)
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        left, right = joints[f"left_{joint}"], joints[f"right_{joint}"]
        assert left[0] > 0 > right[0]
        np.testing.assert_allclose(left, right * [-1, 1, 1], atol=1e-12)
    assert joints["left_toes"][2] > joints["left_heel"][2]  # forward is +z
    assert min(position[1] for position in joints.values()) == pytest.approx(0, abs=1e-9)


def test_joints_bend_the_human_way():
    body = sample_body(np.random.default_rng(0))
    angles = {"left_knee_flexion": 80, "right_elbow_flexion": 80, "left_hip_flexion": 20}
    angles |= {"left_shoulder_abduction": 90}
    joints = pose_skeleton(body, make_pose("bent", angles)).joints
    assert joints["left_ankle"][2] < joints["left_knee"][2] - 0.5 * body.shank  # shank backward
    assert joints["right_wrist"][2] > joints["right_elbow"][2] + 0.5 * body.forearm
    assert joints["left_knee"][2] > joints["left_hip"][2]  # thigh forward
    assert joints["left_elbow"][0] > joints["left_shoulder"][0] + 0.9 * body.upper_arm


def test_make_pose_clips_and_refuses_unknown_joints():
    assert make_pose("stiff", {"left_knee_flexion": -40}).angles["left_knee_flexion"] == 0
    with pytest.raises(ValueError, match=r"left_tail.*left_knee_flexion"):
        make_pose("odd", {"left_tail": 3})


def test_sample_pose_names_the_known_poses():
    with pytest.raises(ValueError, match=r"flying.*standing"):
        sample_pose(np.random.default_rng(0), "flying")
