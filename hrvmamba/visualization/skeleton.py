"""The keypoints of a data set, how they are linked, and their colours."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


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
