"""The 17 keypoints of COCO, their limbs, and their colours."""

__all__ = ["KEYPOINTS", "KEYPOINT_INDEX", "LIMBS", "keypoint_colour", "limb_colour"]

KEYPOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""Keypoint names in COCO's order."""

KEYPOINT_INDEX = {name: index for index, name in enumerate(KEYPOINTS)}
"""Position of each name in KEYPOINTS, from 0."""

LIMBS = (
    ("left_ankle", "left_knee"),
    ("left_knee", "left_hip"),
    ("right_ankle", "right_knee"),
    ("right_knee", "right_hip"),
    ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"),
    ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("right_shoulder", "right_elbow"),
    ("left_elbow", "left_wrist"),
    ("right_elbow", "right_wrist"),
    ("left_eye", "right_eye"),
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
    ("left_ear", "left_shoulder"),
    ("right_ear", "right_shoulder"),
)
"""The skeleton that COCO's category `person` lists, as pairs of names."""

_HEAD = frozenset(KEYPOINTS[:5])
_MIDDLE_COLOUR, _LEFT_COLOUR, _RIGHT_COLOUR = (51, 153, 255), (0, 220, 0), (255, 128, 0)


def keypoint_colour(name: str) -> tuple[int, int, int]:
    """RGB colour, 0-255, in MMPose's scheme: head blue, left green, right orange."""
    if name in _HEAD:
        return _MIDDLE_COLOUR
    return _LEFT_COLOUR if name.startswith("left_") else _RIGHT_COLOUR


def limb_colour(first: str, second: str) -> tuple[int, int, int]:
    """RGB colour, 0-255, of the limb between two keypoints: left green, right orange, else blue."""
    sides = {name.split("_")[0] for name in (first, second)}
    if first in _HEAD or second in _HEAD or len(sides) > 1:
        return _MIDDLE_COLOUR
    return keypoint_colour(first)
