"""What a runtime must know of an exported pose model besides its weights."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from hrvmamba.visualization.skeleton import Skeleton

MARK = "hrvmamba"
"""The property whose value is the version of what the others hold."""

_VERSION = 1

DECODERS = ("MSRAHeatmap", "UDPHeatmap")
"""How heatmaps are decoded: by the maximum and its neighbours, or also unbiased (DARK)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoseCard:
    """How to crop people for a top-down heatmap model, and how to read its heatmaps.

    Attributes:
        input_size: width and height of a crop, in pixels.
        heatmap_size: width and height of a heatmap.
        channels: "RGB" or "BGR": the order of the input's channels.
        mean: of each channel in that order, from 0 to 255, to subtract.
        std: of each channel, to divide by.
        box_padding: a crop is as many times larger than a person's box, before it is enlarged
            to the aspect ratio of ``input_size``.
        udp_crop: sizes are counted from pixel centre to pixel centre (UDP), not in pixels.
        decoder: one of ``DECODERS``.
        unbiased: of MSRAHeatmap: refine the maximum on the blurred heatmap's logarithm (DARK).
        blur_kernel_size: of the blur ahead of that, odd, in heatmap pixels.
        flip_test: whether to average with the heatmaps of the mirrored crop.
        shift_heatmap: whether to shift those by one pixel to the right.
        keypoint_names: of the K keypoints, in the order of the heatmaps.
        flip_indices: for each keypoint the one that it is in the mirror.
        sigmas: of each keypoint, for COCO's similarity.
        skeleton_links: pairs of keypoints, by number.
        keypoint_colours: of each keypoint, RGB.
        link_colours: of each link, RGB.
    """

    input_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    channels: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    box_padding: float
    udp_crop: bool
    decoder: str
    unbiased: bool
    blur_kernel_size: int
    flip_test: bool
    shift_heatmap: bool
    keypoint_names: tuple[str, ...]
    flip_indices: tuple[int, ...]
    sigmas: tuple[float, ...]
    skeleton_links: tuple[tuple[int, int], ...]
    keypoint_colours: tuple[tuple[int, int, int], ...]
    link_colours: tuple[tuple[int, int, int], ...]

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints, their links and colours."""
        return Skeleton(
            self.keypoint_names,
            self.skeleton_links,
            np.array(self.keypoint_colours, np.uint8).reshape(-1, 3),
            np.array(self.link_colours, np.uint8).reshape(-1, 3),
        )

    def properties(self) -> dict[str, str]:
        """The card as properties of a file: each attribute as JSON, and ``hrvmamba``, a version."""
        values = {name: json.dumps(value) for name, value in dataclasses.asdict(self).items()}
        return {MARK: str(_VERSION), **values}

    @classmethod
    def of_properties(cls, properties: Mapping[str, str]) -> "PoseCard":
        """Read a card off a file's properties.

        Raises:
            ValueError: they are not of such a model, or of a later version.
        """
        version = properties.get(MARK)
        if version is None:
            raise ValueError("it is not a pose model that `hrvmamba export` wrote")
        if version != str(_VERSION):
            raise ValueError(
                f"it is of version {version} of `hrvmamba export`, this hrvmamba knows {_VERSION}: "
                "install a later one"
            )
        names = [field.name for field in dataclasses.fields(cls)]
        missing = [name for name in names if name not in properties]
        if missing:
            raise ValueError(f"it lacks the property {missing[0]}")
        try:
            return cls(**{name: _tuples(json.loads(properties[name])) for name in names})
        except ValueError as error:
            raise ValueError(f"its properties are damaged: {error}") from error


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
