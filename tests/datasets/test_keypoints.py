"""Keypoint names and limbs, against MMPose's description of COCO."""

import numpy as np
import pytest

from hrvmamba.datasets.keypoints import KEYPOINTS, LIMBS, keypoint_colour, limb_colour


def test_names_and_limbs_are_those_of_mmpose():
    pytest.importorskip("mmpose")
    from mmengine.config import Config

    info = Config.fromfile(_mmpose_config("coco.py")).dataset_info
    assert tuple(info.keypoint_info[i].name for i in range(17)) == KEYPOINTS
    assert {frozenset(item.link) for item in info.skeleton_info.values()} == set(
        map(frozenset, LIMBS)
    )


def _mmpose_config(name: str) -> str:
    from pathlib import Path

    import mmpose

    folder = Path(mmpose.__file__).parent / ".mim" / "configs" / "_base_" / "datasets"
    if not (folder / name).is_file():
        pytest.skip("MMPose was installed without its configs")
    return str(folder / name)


def test_left_right_and_head_differ_in_colour():
    colours = {keypoint_colour(name) for name in ("nose", "left_hip", "right_hip")}
    assert len(colours) == 3
    assert limb_colour("left_knee", "left_hip") == keypoint_colour("left_knee")
    assert limb_colour("left_hip", "right_hip") == keypoint_colour("nose")
    assert np.all([len(limb_colour(*limb)) == 3 for limb in LIMBS])
