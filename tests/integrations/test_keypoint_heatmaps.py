from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

import hrvmamba  # noqa: F401  (lets MMPose import)
from hrvmamba.integrations.keypoint_heatmaps import keypoint_heatmaps

MAPS = (torch.zeros(1, 8, 4, 3),)


@pytest.fixture
def config(repository):
    return Config.fromfile(repository / "configs/coco/hrvmamba_nano_256x192.py")


def with_head(head):
    return SimpleNamespace(with_neck=False, head=head)


def test_heatmaps_have_the_names_of_their_keypoints(config):
    made = torch.randn(1, 17, 4, 3)
    heatmaps = keypoint_heatmaps(config, with_head(lambda maps: made), MAPS)
    assert list(heatmaps)[:3] == ["nose", "left_eye", "right_eye"]
    assert list(heatmaps)[-1] == "right_ankle"
    assert torch.equal(heatmaps["right_ankle"], made[0, 16])


def test_keypoints_without_names_are_numbered(config):
    heatmaps = keypoint_heatmaps(config, with_head(lambda maps: torch.zeros(1, 2, 4, 3)), MAPS)
    assert list(heatmaps) == ["keypoint 0", "keypoint 1"]


def test_heads_without_heatmaps_give_none(config):
    vectors = torch.zeros(1, 17, 96), torch.zeros(1, 17, 128)
    assert keypoint_heatmaps(config, with_head(lambda maps: vectors), MAPS) == {}


def test_a_neck_comes_first(config):
    model = with_head(lambda maps: maps[0])
    model.with_neck, model.neck = True, lambda maps: (maps[0] + 1,)
    heatmaps = keypoint_heatmaps(config, model, MAPS)
    assert len(heatmaps) == 8 and all((heatmap == 1).all() for heatmap in heatmaps.values())
