"""Synthetic people in COCO's keypoint format."""

from .keypoints import KEYPOINTS, LIMBS
from .scene import CASTS, Cast, Scene, draw_scene
from .synthetic_coco import make_synthetic_coco

__all__ = [
    "CASTS",
    "KEYPOINTS",
    "LIMBS",
    "Cast",
    "Scene",
    "draw_scene",
    "make_synthetic_coco",
]
