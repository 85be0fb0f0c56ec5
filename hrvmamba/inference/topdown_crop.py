"""Cutting people out for a top-down model, as MMPose's GetBBoxCenterScale and TopdownAffine do."""

from typing import NamedTuple

import cv2
import numpy as np


class TopdownCrop(NamedTuple):
    """The part of an image that a model is to see of a person.

    Attributes:
        center: ``(2,)``, float32: x, y, in pixels.
        size: ``(2,)``, float32: width, height.
    """

    center: np.ndarray
    size: np.ndarray

    @property
    def box(self) -> np.ndarray:
        """``(4,)``: x, y, width, height."""
        return np.concatenate([self.center - 0.5 * self.size, self.size])


def crop_around(box: np.ndarray, padding: float, input_size: tuple[int, int]) -> TopdownCrop:
    """Enlarge a person's box and give it the aspect ratio of the model's input.

    Args:
        box: ``(4,)``, float32: x, y, width, height.
        padding: how many times larger.
        input_size: width and height of the input.
    """
    low, high = box[:2], box[:2] + box[2:]
    aspect = input_size[0] / input_size[1]
    size = (high - low) * padding
    width, height = size[:1], size[1:]
    if width > height * aspect:
        height = width / aspect
    else:
        width = height * aspect
    size = np.concatenate([width, height])
    return TopdownCrop((low + high) * 0.5, size)


def cut(image: np.ndarray, crop: TopdownCrop, input_size: tuple[int, int], udp: bool) -> np.ndarray:
    """Bring a part of an image to the model's input size, bilinearly; outside it is black.

    Args:
        image: ``(H, W, 3)``, uint8.
        crop: the part, in the aspect ratio of the input.
        input_size: width and height of the input.
        udp: count sizes from the first pixel's centre to the last one's, not in whole pixels.

    Returns:
        ``(height, width, 3)``, uint8.
    """
    target = np.array(input_size, np.float32)
    if udp:
        scale = (target - 1) / crop.size
        warp = np.diag(scale).astype(np.float32)
        shift = scale * (0.5 * crop.size - crop.center)
        warp = np.concatenate([warp, shift[:, None]], 1)
    else:
        warp = cv2.getAffineTransform(
            _three_points(crop.center, crop.size), _three_points(target / 2, target)
        )
    return cv2.warpAffine(image, warp, input_size, flags=cv2.INTER_LINEAR)


def _three_points(center: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Points of a rectangle that tell where it is: its centre, its left edge, and below that."""
    half = 0.5 * size[0]
    left = center - [half, 0]
    return np.array([center, left, left + [0, half]], np.float32)
