"""Synthetic people in COCO's keypoint format."""

from .keypoints import KEYPOINTS, LIMBS
from .scene import Scene, draw_scene
from .synthetic_coco import make_synthetic_coco

__all__ = ["KEYPOINTS", "LIMBS", "Scene", "draw_scene", "make_synthetic_coco"]
