"""Heatmaps that something else than the config's own network computes, such as an ONNX runtime."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from hrvmamba.integrations.config import ConfigError


class HeatmapRunner(Protocol):
    """Maps a batch of crops to heatmaps."""

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """Compute the heatmaps of crops.

        Args:
            crops: ``(B, 3, H, W)``, float32, of the config's input size, normalised by its
                data_preprocessor.

        Returns:
            ``(B, K, h, w)``, float32, of the config's heatmap size.
        """


def run_elsewhere(model: nn.Module, runner: HeatmapRunner) -> None:
    """Put a runner in the place of a model's backbone, neck and head layers.

    The model's preprocessing, flip test and decoding stay.

    Raises:
        ConfigError: the model's head is not MMPose's HeatmapHead.
    """
    from mmpose.models.heads import HeatmapHead

    if not isinstance(model.head, HeatmapHead):
        raise ConfigError(
            "a runner computes heatmaps: the config's head must be a HeatmapHead, "
            f"got {type(model.head).__name__}"
        )
    model.backbone = _Runner(runner)
    if model.with_neck:
        model.neck = nn.Identity()
    for layers in ("deconv_layers", "conv_layers", "final_layer"):
        setattr(model.head, layers, nn.Identity())


class _Runner(nn.Module):
    def __init__(self, runner: HeatmapRunner) -> None:
        super().__init__()
        self.runner = runner

    def forward(self, images: Tensor) -> tuple[Tensor]:
        heatmaps = torch.from_numpy(self.runner(images.cpu().numpy()))
        return (heatmaps.to(images.device),)
