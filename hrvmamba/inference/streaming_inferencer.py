"""Streaming the people of images through a pose model, in batches across images."""

import abc
import dataclasses
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from hrvmamba.inference.pose_result import PoseResult
from hrvmamba.visualization.skeleton import Skeleton

Image = str | os.PathLike | np.ndarray
"""A file, or ``(H, W, 3)``, BGR, uint8, as OpenCV reads it."""


@dataclasses.dataclass(frozen=True)
class Person:
    """What a model finds of a person.

    Attributes:
        keypoints: ``(K, 2)``, in pixels of the image.
        scores: ``(K,)``.
        crop: ``(4,)``: the box that the model saw.
        heatmaps: ``(K, h, w)``; None if they were not asked for.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    crop: np.ndarray
    heatmaps: np.ndarray | None = None


class StreamingInferencer(abc.ABC):
    """Finds the keypoints of people in images; how is for subclasses to say.

    Args:
        skeleton: the keypoints that are found.
        batch_size: people that go through the model at once.
        heatmap_size: height and width of the heatmaps, if they are to be returned.

    Attributes:
        skeleton: the data set's keypoints, links and colours.
        returns_heatmaps: whether results have heatmaps.

    Raises:
        ValueError: the batch size is below 1.
    """

    def __init__(
        self, skeleton: Skeleton, batch_size: int, heatmap_size: tuple[int, int] | None
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.skeleton = skeleton
        self.returns_heatmaps = heatmap_size is not None
        self._batch_size = batch_size
        self._heatmap_size = heatmap_size

    @abc.abstractmethod
    def _read(self, image: Image) -> dict:
        """Load an image, or check an array, into a dict with the array under "img".

        Raises:
            ValueError: it cannot be read.
        """

    @abc.abstractmethod
    def _crop(self, loaded: dict, boxes: np.ndarray, scores: np.ndarray) -> Iterator[Any]:
        """Cut people out of an image that was read."""

    @abc.abstractmethod
    def _find(self, crops: list[Any]) -> list[Person]:
        """Run the model on a batch of crops."""

    def __call__(
        self, images: Image | Sequence[Image], boxes: Sequence | np.ndarray | None = None
    ) -> list[PoseResult]:
        """Find the keypoints of the people in images.

        Args:
            images: one image or several.
            boxes: of the people in each image, ``(N, 4)``: x, y, width, height in pixels, N may be
                0; or None, where the whole image is one person's. For a single image its boxes
                alone. None: whole images.

        Returns:
            A result for each image.

        Raises:
            ValueError: an image cannot be read, or boxes have another shape.
        """
        if isinstance(images, (str, os.PathLike)) or getattr(images, "ndim", 0) == 3:
            images, boxes = [images], [boxes]
        if boxes is None:
            boxes = [None] * len(images)
        if len(boxes) != len(images):
            raise ValueError(f"got boxes of {len(boxes)} images, needs those of {len(images)}")
        together = zip(images, boxes, strict=True)
        return list(self.stream((image, its_boxes, None) for image, its_boxes in together))

    def stream(self, images: Iterable[tuple[Image, Any, Any]]) -> Iterator[PoseResult]:
        """Find keypoints as images come, with batches across images.

        Args:
            images: each with its boxes, or None, as in calling, and the scores of these, ``(N,)``,
                or None for ones. They are taken ahead until a batch is full, but no more than
                ``batch_size`` of them.

        Yields:
            A result for each image, in order.
        """
        waiting: deque[_Pending] = deque()
        crops: list[tuple[_Pending, Any]] = []
        for image, boxes, scores in images:
            loaded = self._read(image)
            pending = _Pending(*_people(loaded["img"], boxes, scores))
            waiting.append(pending)
            cut = self._crop(loaded, pending.boxes, pending.scores)
            crops += [(pending, crop) for crop in cut]
            while len(crops) >= self._batch_size or (crops and len(waiting) > self._batch_size):
                self._run(crops)
            yield from self._finished(waiting)
        while crops:
            self._run(crops)
        yield from self._finished(waiting)

    def _run(self, crops: list[tuple["_Pending", Any]]) -> None:
        """Run the model on a batch of the crops, which are removed."""
        batch = crops[: self._batch_size]
        del crops[: self._batch_size]
        people = self._find([crop for _, crop in batch])
        for (pending, _), person in zip(batch, people, strict=True):
            pending.found.append(person)

    def _finished(self, waiting: "deque[_Pending]") -> Iterator[PoseResult]:
        keypoints = len(self.skeleton.names)
        while waiting and len(waiting[0].found) == len(waiting[0].boxes):
            pending = waiting.popleft()
            people = pending.found
            heatmaps = None
            if self._heatmap_size is not None:
                shape = (keypoints, *self._heatmap_size)
                heatmaps = _stack([person.heatmaps for person in people], shape)
            yield PoseResult(
                _stack([person.keypoints for person in people], (keypoints, 2)),
                _stack([person.scores for person in people], (keypoints,)),
                pending.boxes,
                pending.scores,
                _stack([person.crop for person in people], (4,)),
                heatmaps,
            )


@dataclasses.dataclass
class _Pending:
    """An image on its way: the boxes of its people, their scores, and what is found so far."""

    boxes: np.ndarray
    scores: np.ndarray
    found: list[Person] = dataclasses.field(default_factory=list)


def _people(image: np.ndarray, boxes: Any, scores: Any) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores as arrays, checked."""
    if boxes is None:
        boxes = [[0, 0, image.shape[1], image.shape[0]]]
    boxes = np.array(boxes, np.float32)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be (N, 4): x, y, width, height; got {boxes.shape}")
    if not (np.isfinite(boxes).all() and (boxes[:, 2:] > 0).all()):
        raise ValueError("boxes must have a width and a height above 0")
    scores = np.ones(len(boxes), np.float32) if scores is None else np.array(scores, np.float32)
    if scores.shape != (len(boxes),):
        raise ValueError(f"box scores must be ({len(boxes)},), got {scores.shape}")
    return boxes, scores


def _stack(arrays: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Arrays of one shape as one array of float32; there may be none."""
    return np.array(arrays, np.float32).reshape(len(arrays), *shape)


def check_image(image: np.ndarray) -> None:
    """Check that an array is an image.

    Raises:
        ValueError: it is not.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"an image must be (H, W, 3), uint8, in the order BGR, got {image.shape}, {image.dtype}"
        )
