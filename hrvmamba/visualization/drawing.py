"""Skeletons and heatmaps drawn over images. Images are ``(H, W, 3)``, BGR, uint8."""

import cv2
import numpy as np

from hrvmamba.visualization.skeleton import Skeleton

_RIM = (25, 25, 30)  # around lines and dots, so that they show on any ground
_LINES_A_PERSON = 70  # as many line widths as a person is long
_LINES_AN_IMAGE = 130
_RIM_WIDTH = 0.3  # of a line's, on either side, and half a pixel at least
_BITS = 4  # behind the point of coordinates handed to OpenCV
_DIMMED = 0.8  # brightness of what lies under heatmaps
_OPACITY = 0.9  # of a heatmap at its maximum


def draw_people(
    image: np.ndarray,
    keypoints: np.ndarray,
    shown: np.ndarray,
    skeleton: Skeleton,
    hidden: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
) -> np.ndarray:
    """Draw skeletons over an image.

    Args:
        image: left as it is.
        keypoints: ``(N, K, 2)``, in pixels of the image.
        shown: ``(N, K)``, bool: which keypoints to draw. A link is drawn with both of its ends.
        skeleton: of the K keypoints.
        hidden: ``(N, K)``, bool: which dots to draw hollow; None for none.
        lengths: ``(N,)``: how long each person is, in pixels, to which lines are fitted. None
            measures the keypoints that are drawn.

    Returns:
        The image with skeletons.
    """
    image = image.copy()
    if hidden is None:
        hidden = np.zeros_like(shown)
    if lengths is None:
        lengths = [
            np.ptp(person[seen], axis=0).max() if seen.any() else 0
            for person, seen in zip(keypoints, shown, strict=True)
        ]
    for person, seen, hollow, length in zip(keypoints, shown, hidden, lengths, strict=True):
        _draw_person(image, person, seen, hollow, _line_width(image, length), skeleton)
    return image


def draw_heatmaps(
    image: np.ndarray, heatmaps: np.ndarray, crops: np.ndarray, skeleton: Skeleton
) -> np.ndarray:
    """Lay heatmaps over an image in grey, each keypoint's in its colour.

    Opacity is the square root of the heatmap, which shows what the model is unsure of as well.

    Args:
        image: left as it is.
        heatmaps: ``(N, K, h, w)``; what is above 1 counts as 1.
        crops: ``(N, 4)``: x, y, width, height of what each person's heatmaps cover, in pixels.
        skeleton: of the K keypoints.
    """
    height, width = image.shape[:2]
    colours = skeleton.keypoint_colours[:, ::-1].astype(np.float32)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    painted = np.repeat(_DIMMED * grey[..., None], 3, axis=2)
    opacity = np.zeros((height, width, 1), np.float32)
    layer = np.zeros_like(painted)
    for maps, crop in zip(heatmaps, crops, strict=True):
        (left, top), (right, bottom) = (
            np.clip(corner, 0, (width, height)).astype(int)
            for corner in (np.floor(crop[:2]), np.ceil(crop[:2] + crop[2:]))
        )
        if left == right or top == bottom:
            continue
        strength = np.sqrt(maps.clip(0, 1))
        shares = strength / np.maximum(strength.sum(0), 1e-6)
        colour = np.einsum("khw,kc->hwc", shares, colours) * strength.max(0)[..., None]
        scale = crop[2:] / maps.shape[:0:-1]
        matrix = np.array([[scale[0], 0, crop[0] - left], [0, scale[1], crop[1] - top]])
        warped = cv2.warpAffine(
            np.dstack([colour, strength.max(0)]), matrix, (right - left, bottom - top)
        )
        there = slice(top, bottom), slice(left, right)
        stronger = warped[..., 3:] > opacity[there]
        opacity[there] = np.where(stronger, warped[..., 3:], opacity[there])
        layer[there] = np.where(stronger, warped[..., :3], layer[there])
    covered = painted * (1 - _OPACITY * opacity) + _OPACITY * layer
    return covered.round().clip(0, 255).astype(np.uint8)


def _line_width(image: np.ndarray, length: float) -> float:
    """That of lines, in pixels, for a person of a length."""
    widest = max(min(image.shape[:2]) / _LINES_AN_IMAGE, 2.0)
    return float(np.clip(length / _LINES_A_PERSON, 1.0, widest))


def _draw_person(
    image: np.ndarray,
    keypoints: np.ndarray,
    shown: np.ndarray,
    hidden: np.ndarray,
    line: float,
    skeleton: Skeleton,
) -> None:
    rim = max(_RIM_WIDTH * line, 0.5)
    places = _fixed(keypoints.clip(-1e6, 1e6))
    links = [
        (tuple(places[start]), tuple(places[end]), _bgr(colour))
        for (start, end), colour in zip(skeleton.links, skeleton.link_colours, strict=True)
        if shown[start] and shown[end]
    ]
    for start, end, _ in links:
        cv2.line(image, start, end, _RIM, round(line + 2 * rim), cv2.LINE_AA, _BITS)
    for start, end, colour in links:
        cv2.line(image, start, end, colour, round(line), cv2.LINE_AA, _BITS)
    radius = line + 1.0
    for index in np.flatnonzero(shown):
        colour = _bgr(skeleton.keypoint_colours[index])
        _dot(image, places[index], radius + rim, _RIM)
        _dot(image, places[index], radius, colour)
        if hidden[index]:
            _dot(image, places[index], max(0.65 * radius, 1.0), _RIM)


def _dot(image: np.ndarray, place: list[int], radius: float, colour: tuple[int, ...]) -> None:
    cv2.circle(image, tuple(place), _fixed(radius), colour, -1, cv2.LINE_AA, _BITS)


def _fixed(values: np.ndarray | float) -> list | int:
    """Numbers as OpenCV takes them with ``_BITS`` behind the point."""
    return np.rint(np.multiply(values, 1 << _BITS)).astype(int).tolist()


def _bgr(colour: np.ndarray) -> tuple[int, ...]:
    return tuple(colour[::-1].tolist())
