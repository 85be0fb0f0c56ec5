"""Pictures as people send them."""

from pathlib import Path

import numpy as np
from PIL import Image

from hrvmamba.inference.inputs import ImageFile

MAX_PIXELS = 50_000_000


def read_picture(path: str) -> np.ndarray:
    """Read a picture, as `hrvmamba infer` does, unless it is too large.

    Returns:
        ``(H, W, 3)``, BGR, uint8.

    Raises:
        ValueError: it is damaged or no picture, or has more than MAX_PIXELS.
    """
    try:
        with Image.open(path) as image:  # reads the header
            width, height = image.size
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("the picture is damaged, or none") from error
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"the picture has {width} x {height} pixels: at most {MAX_PIXELS // 10**6} million are "
            "taken"
        )
    try:
        return ImageFile(Path(path), "").read()
    except ValueError as error:
        raise ValueError(f"the picture {error}") from error
