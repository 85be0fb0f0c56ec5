"""Marks on a picture: whose box is which, and which point is looked at.

Pictures are ``(H, W, 3)``, BGR, uint8, and left as they are; boxes are x, y, width, height.
"""

import cv2
import numpy as np

_LIGHT, _DARK, _QUERY = (255, 255, 255), (25, 25, 30), (255, 229, 0)
_DIMMED = 0.35
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def number_boxes(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Draw ``(N, 4)`` boxes, with numbers from 1 on in their upper left corners."""
    image = image.copy()
    line = _line_width(image)
    size = 0.7 * line
    for number, box in enumerate(boxes, start=1):
        start, end = _corners(box)
        cv2.rectangle(image, start, end, _DARK, line + 2)
        cv2.rectangle(image, start, end, _LIGHT, line)
        (width, height), _ = cv2.getTextSize(str(number), _FONT, size, 2 * line)
        left, top = np.maximum(start, 0).tolist()  # in the picture, where a box begins outside
        margin = 4 * line
        tag = (left + width + 2 * margin, top + height + 2 * margin)
        cv2.rectangle(image, (left, top), tag, _DARK, -1)
        below = (left + margin, top + height + margin)
        cv2.putText(image, str(number), below, _FONT, size, _LIGHT, 2 * line, cv2.LINE_AA)
    return image


def mark_query(image: np.ndarray, crop: np.ndarray, query: tuple[float, float]) -> np.ndarray:
    """Dim what lies outside a crop, and circle a point."""
    marked = (image * _DIMMED).astype(np.uint8)
    (left, top), (right, bottom) = np.maximum(_corners(crop), 0).tolist()
    marked[top:bottom, left:right] = image[top:bottom, left:right]
    line = _line_width(image)
    center = tuple(round(value) for value in query)
    cv2.circle(marked, center, 8 * line, _DARK, 4 * line, cv2.LINE_AA)
    cv2.circle(marked, center, 8 * line, _QUERY, 2 * line, cv2.LINE_AA)
    return marked


def _corners(box: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    x, y, width, height = (float(value) for value in box)
    return (round(x), round(y)), (round(x + width), round(y + height))


def _line_width(image: np.ndarray) -> int:
    """What shows where the whole picture is seen at once."""
    return max(round(max(image.shape[:2]) / 600), 1)
