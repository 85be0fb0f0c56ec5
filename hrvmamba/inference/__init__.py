"""Pictures in, skeletons out: a top-down pose model on images, and what is drawn and written."""

from hrvmamba.inference.pose_inferencer import PoseInferencer
from hrvmamba.inference.pose_result import PoseResult

__all__ = ["PoseInferencer", "PoseResult"]
