import copy
from pathlib import Path

import pytest
from mmengine.config import Config

import hrvmamba  # noqa: F401  (lets MMPose import)
from hrvmamba.datasets.keypoints import KEYPOINTS
from hrvmamba.integrations.config import ConfigError

pytest.importorskip("mmpose")

from hrvmamba.integrations.keypoint_metainfo import dataset_metainfo, image_folder

METAINFO = {
    "dataset_name": "mine",
    "keypoint_info": {
        0: {"name": "left", "swap": "right"},
        1: {"name": "right", "swap": "left"},
        2: {"name": "tail", "swap": ""},
    },
    "skeleton_info": {0: {"link": ("left", "tail")}},
    "joint_weights": [1.0] * 3,
    "sigmas": [0.05] * 3,
}


def test_of_a_config_and_of_mmposes_own():
    mine = dataset_metainfo({"type": "CocoDataset", "metainfo": METAINFO})
    assert mine["num_keypoints"] == 3 and mine["flip_indices"] == [1, 0, 2]
    cocos = dataset_metainfo({"type": "CocoDataset"})
    assert tuple(cocos["keypoint_name2id"]) == KEYPOINTS


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("sigmas",), [0.05] * 2, "has 2 sigmas for 3 keypoints"),
        (("joint_weights",), [1.0] * 4, "has 4 joint_weights for 3 keypoints"),
        (("keypoint_info", 0, "swap"), "ear", "names 'ear', which is none of its keypoints"),
        (("keypoint_info", 2, "swap"), "left", "swaps tail with left, but that with right"),
        (("skeleton_info", 0, "link"), ("left", "paw"), "names 'paw'"),
        (("skeleton_info",), None, "must have dataset_name, keypoint_info, skeleton_info"),
    ],
)
def test_contradictions_are_named(path, value, expected):
    metainfo = copy.deepcopy(METAINFO)
    *parents, last = path
    inner = metainfo
    for key in parents:
        inner = inner[key]
    inner[last] = value
    if value is None:
        del inner[last]
    with pytest.raises(ConfigError, match=expected):
        dataset_metainfo({"type": "CocoDataset", "metainfo": metainfo})


def test_an_unknown_data_set():
    with pytest.raises(ConfigError, match="NoDataset is none of MMPose's"):
        dataset_metainfo({"type": "NoDataset"})


def test_the_images_of_an_annotation_file(repository):
    config = Config.fromfile(repository / "configs/coco/hrvmamba_tiny_256x192.py")
    annotations = Path("data/coco/annotations/person_keypoints_train2017.json")
    assert image_folder(config, annotations) == Path("data/coco/train2017")
    assert image_folder(config, annotations.absolute()) == Path("data/coco/train2017")
    assert image_folder(config, Path("other.json")) is None
