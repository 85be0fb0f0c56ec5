"""Pictures in, skeletons out: a top-down pose model on images, and what is drawn and written.

``PoseInferencer`` runs the models of configs with PyTorch, ``OnnxPoseInferencer`` exported ones
without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hrvmamba.inference.onnx_pose_inferencer import OnnxPoseInferencer
from hrvmamba.inference.pose_result import PoseResult

if TYPE_CHECKING:
    from hrvmamba.inference.pose_inferencer import PoseInferencer

__all__ = ["OnnxPoseInferencer", "PoseInferencer", "PoseResult"]


def __getattr__(name: str) -> Any:
    if name == "PoseInferencer":  # imported when used, since it needs PyTorch and MMPose
        return import_module(f"{__name__}.pose_inferencer").PoseInferencer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
