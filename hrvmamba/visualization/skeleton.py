"""The keypoints of a data set, how they are linked, and their colours."""

import colorsys
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# MMPose's colours for the body of COCO
_LEFT, _RIGHT, _MIDDLE = (0, 255, 0), (255, 128, 0), (51, 153, 255)


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """The K keypoints and L links of a data set.

    Attributes:
        names: of the keypoints, in order.
        links: the keypoints, by number, that each link joins.
        keypoint_colours: ``(K, 3)``, RGB, uint8.
        link_colours: ``(L, 3)``, RGB, uint8.
    """

    names: tuple[str, ...]
    links: tuple[tuple[int, int], ...]
    keypoint_colours: np.ndarray
    link_colours: np.ndarray

    @classmethod
    def of_metainfo(cls, metainfo: Mapping[str, Any]) -> "Skeleton":
        """Take it from the meta information of MMPose's data sets, as parsed by MMPose."""
        return cls(
            tuple(metainfo["keypoint_id2name"].values()),
            tuple((start, end) for start, end in metainfo["skeleton_links"]),
            np.array(metainfo["keypoint_colors"], np.uint8).reshape(-1, 3),
            np.array(metainfo["skeleton_link_colors"], np.uint8).reshape(-1, 3),
        )

    @classmethod
    def of_names(cls, names: Sequence[str], links: Sequence[tuple[int, int]]) -> "Skeleton":
        """Choose colours: by the side where names begin with left and right, else each its own.

        Args:
            names: of the keypoints.
            links: the keypoints, by number, that each link joins.
        """
        if any(name.startswith(("left", "right")) for name in names):
            colours = [_colour_of_side(name) for name in names]
        else:
            hues = [number / max(len(names), 1) for number in range(len(names))]
            colours = [
                tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.85, 1.0))
                for hue in hues
            ]
        joined = [
            colours[start] if colours[start] == colours[end] else _MIDDLE for start, end in links
        ]
        return cls(
            tuple(names),
            tuple((start, end) for start, end in links),
            np.array(colours, np.uint8).reshape(-1, 3),
            np.array(joined, np.uint8).reshape(-1, 3),
        )


def _colour_of_side(name: str) -> tuple[int, int, int]:
    if name.startswith("left"):
        return _LEFT
    return _RIGHT if name.startswith("right") else _MIDDLE
