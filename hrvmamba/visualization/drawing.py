"""Skeletons and heatmaps drawn over images. Images are ``(H, W, 3)``, BGR, uint8."""

import cv2
import numpy as np

from hrvmamba.visualization.skeleton import Skeleton

_RIM = (25, 25, 30)  # around lines and dots, so that they show on any ground
_LINES_A_PERSON = 70  # as many line widths as a person is long
_LINES_AN_IMAGE = 130
_OPACITY = 0.75  # of a heatmap at its maximum


def draw_people(
    image: np.ndarray,
    keypoints: np.ndarray,
    shown: np.ndarray,
    skeleton: Skeleton,
    hidden: np.ndarray | None = None,
) -> np.ndarray:
    """Draw skeletons over an image.

    Args:
        image: left as it is.
        keypoints: ``(N, K, 2)``, in pixels of the image.
        shown: ``(N, K)``, bool: which keypoints to draw. A link is drawn with both of its ends.
        skeleton: of the K keypoints.
        hidden: ``(N, K)``, bool: which dots to draw hollow; None for none.

    Returns:
        The image with skeletons, lines as wide as each person's size asks for.
    """
    image = image.copy()
    if hidden is None:
        hidden = np.zeros_like(shown)
    for person, seen, hollow in zip(keypoints, shown, hidden, strict=True):
        if seen.any():
            _draw_person(image, person, seen, hollow, skeleton)
    return image


def draw_heatmaps(
    image: np.ndarray, heatmaps: np.ndarray, crops: np.ndarray, skeleton: Skeleton
) -> np.ndarray:
    """Lay heatmaps over an image, each keypoint's in its colour, opaque where it is 1 or more.

    Args:
        image: left as it is.
        heatmaps: ``(N, K, h, w)``.
        crops: ``(N, 4)``: x, y, width, height of what each person's heatmaps cover, in pixels.
        skeleton: of the K keypoints.
    """
    height, width = image.shape[:2]
    colours = skeleton.keypoint_colours[:, ::-1].astype(np.float32)
    opacity = np.zeros((height, width), np.float32)
    painted = np.zeros((height, width, 3), np.float32)
    for maps, (x, y, crop_width, crop_height) in zip(heatmaps, crops, strict=True):
        clipped = maps.clip(0, 1)
        weights = clipped / np.maximum(clipped.sum(0), 1e-6)
        layer = np.einsum("khw,kc->hwc", weights, colours) * clipped.max(0)[..., None]
        scale_x, scale_y = crop_width / maps.shape[2], crop_height / maps.shape[1]
        matrix = np.array([[scale_x, 0, x], [0, scale_y, y]], np.float32)
        warped = cv2.warpAffine(
            np.dstack([layer, clipped.max(0)]), matrix, (width, height), flags=cv2.INTER_LINEAR
        )
        stronger = warped[..., 3] > opacity
        opacity[stronger] = warped[stronger, 3]
        painted[stronger] = warped[stronger, :3]
    covered = image * (1 - _OPACITY * opacity[..., None]) + _OPACITY * painted
    return covered.round().clip(0, 255).astype(np.uint8)


def _draw_person(
    image: np.ndarray,
    keypoints: np.ndarray,
    shown: np.ndarray,
    hidden: np.ndarray,
    skeleton: Skeleton,
) -> None:
    extent = np.ptp(keypoints[shown], axis=0).max()
    widest = max(min(image.shape[:2]) / _LINES_AN_IMAGE, 2.0)
    line = round(float(np.clip(extent / _LINES_A_PERSON, 1.0, widest)))
    rim = 2 if line > 1 else 1
    places = [tuple(place) for place in np.rint(keypoints).clip(-1e6, 1e6).astype(int).tolist()]

    links = [
        (places[start], places[end], _bgr(colour))
        for (start, end), colour in zip(skeleton.links, skeleton.link_colours, strict=True)
        if shown[start] and shown[end]
    ]
    for start, end, _ in links:
        cv2.line(image, start, end, _RIM, line + rim, cv2.LINE_AA)
    for start, end, colour in links:
        cv2.line(image, start, end, colour, line, cv2.LINE_AA)
    radius = line + 1 if line > 1 else 2
    for index in np.flatnonzero(shown):
        cv2.circle(image, places[index], radius + (rim + 1) // 2, _RIM, -1, cv2.LINE_AA)
        colour = _bgr(skeleton.keypoint_colours[index])
        cv2.circle(image, places[index], radius, colour, -1, cv2.LINE_AA)
        if hidden[index]:
            cv2.circle(image, places[index], max(radius - 2, 1), _RIM, -1, cv2.LINE_AA)


def _bgr(colour: np.ndarray) -> tuple[int, ...]:
    return tuple(colour[::-1].tolist())
