"""Person boxes as one types them."""

import re

import numpy as np

MAX_BOXES = 50


def parse_boxes(text: str, image_size: tuple[int, int]) -> np.ndarray:
    """Read one box a line: x, y, width and height in pixels, apart by spaces or commas.

    Args:
        text: the lines; empty ones are passed over.
        image_size: width and height of the picture.

    Returns:
        ``(N, 4)``, float32, N at least 1.

    Raises:
        ValueError: there is no box, or too many, or one is no box or lies outside the picture; the
            message names the line.
    """
    boxes = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = re.split(r"[\s,;]+", line.strip(" \t[]()"))
        if words == [""]:
            continue
        boxes.append(_box(words, f"box in line {number}: got {line.strip()!r}", image_size))
    if not 1 <= len(boxes) <= MAX_BOXES:
        raise ValueError(
            f"boxes: got {len(boxes)}, needs 1 to {MAX_BOXES}, each in a line of its own: "
            "x y width height"
        )
    return np.array(boxes, np.float32)


def _box(words: list[str], got: str, image_size: tuple[int, int]) -> list[float]:
    try:
        x, y, width, height = box = [float(word) for word in words]
    except ValueError:
        raise ValueError(f"{got}, needs four numbers: x y width height") from None
    if not (np.isfinite(box).all() and width > 0 and height > 0):
        raise ValueError(f"{got}, needs a width and a height above 0")
    if x >= image_size[0] or y >= image_size[1] or x + width <= 0 or y + height <= 0:
        raise ValueError(
            f"{got}, needs a part of the picture, which is {image_size[0]} x {image_size[1]} pixels"
        )
    return box
