"""The heatmaps that a pose model makes of each keypoint."""

from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from hrvmamba.integrations.dataset_configs import datasets


@torch.no_grad()
def keypoint_heatmaps(
    config: Config, model: nn.Module, maps: tuple[Tensor, ...]
) -> dict[str, Tensor]:
    """Compute the heatmaps of one image, without flip test, by the keypoints' names.

    Args:
        config: an MMPose config, whose test data set names the keypoints.
        model: its model.
        maps: of its backbone, for one image.

    Returns:
        For each keypoint a heatmap ``(h, w)``; nothing if the head makes no heatmaps.
    """
    if model.with_neck:
        maps = model.neck(maps)
    heatmaps = model.head(maps)
    if not isinstance(heatmaps, Tensor) or heatmaps.dim() != 4:
        return {}
    names = _keypoint_names(next(datasets(config.test_dataloader.dataset)))
    if len(names) != heatmaps.shape[1]:
        names = [f"keypoint {number}" for number in range(heatmaps.shape[1])]
    return dict(zip(names, heatmaps[0], strict=True))


def _keypoint_names(dataset: dict[str, Any]) -> list[str]:
    """The keypoints of a data set, in order; none if it does not say."""
    from mmpose.apis.inference import dataset_meta_from_config

    meta = dataset_meta_from_config(Config({"test_dataloader": {"dataset": dataset}}), "test")
    return list((meta or {}).get("keypoint_id2name", {}).values())
