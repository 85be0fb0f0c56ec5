"""Image sizes on the command line."""

import re

from hrvmamba.models.checks import MIN_SIZE


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """Read HEIGHTxWIDTH, in pixels.

    Raises:
        ValueError: it has another form, or is smaller than the network takes.
    """
    size = re.fullmatch(r"(\d+)x(\d+)", text)
    if not size or min(map(int, size.groups())) < MIN_SIZE:
        raise ValueError(f"{option}: got {text}, needs HEIGHTxWIDTH, each {MIN_SIZE} at least")
    height, width = map(int, size.groups())
    return height, width
