"""What the page shows of a picture and the people in it."""

import copy
import dataclasses
from collections.abc import Callable

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hrvmamba.inference import PoseInferencer, PoseResult
from hrvmamba.visualization.drawing import draw_people
from hrvmamba.visualization.marks import mark_query, number_boxes
from hrvmamba.web.boxes import parse_boxes
from hrvmamba.web.inspection import Inspector, Point, center
from hrvmamba.web.picture import read_picture

WHOLE, TYPED, DETECTED = "the whole picture", "boxes that I type", "a detector's boxes"
"""Where the boxes come from."""

Detector = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Maps an image, BGR, to the boxes of its people, ``(N, 4)``, and their scores, ``(N,)``."""

_SHOWN = 0.3  # as `hrvmamba infer` and MMPose draw keypoints


@dataclasses.dataclass(frozen=True)
class Found:
    """A picture, ``(H, W, 3)``, BGR, uint8, and its people, one at least."""

    image: np.ndarray
    people: PoseResult


class Demo:
    """A model to try on pictures. Images that it returns are ``(H, W, 3)``, RGB, uint8.

    Args:
        name: what to call the model.
        infer: the model.
        detect: the detector.

    Attributes:
        name: what the model is called.
        blocks: the blocks that :meth:`activation` looks into.

    Raises:
        ValueError: the model's backbone is not HRVMamba.
    """

    def __init__(self, name: str, infer: PoseInferencer, detect: Detector) -> None:
        self.name = name
        self._infer = infer
        self._detect = detect
        # Figures are computed on the CPU.
        model = infer.model if infer.device.type == "cpu" else copy.deepcopy(infer.model).cpu()
        self._inspector = Inspector(name, infer.config, model)
        self.blocks = tuple(self._inspector.blocks)

    def find(self, path: str, source: str, text: str) -> Found:
        """Find the keypoints of the people in a picture.

        Args:
            path: the picture's file.
            source: WHOLE, TYPED or DETECTED.
            text: the boxes, where they are TYPED.

        Raises:
            OSError: the detector's weights cannot be downloaded.
            ValueError: the picture cannot be read, or there are no boxes.
        """
        image = read_picture(path)
        boxes, scores = None, None
        if source == TYPED:
            boxes = parse_boxes(text, image.shape[1::-1])
        elif source == DETECTED:
            boxes, scores = self._detect(image)
            if not len(boxes):
                raise ValueError("the detector finds no people in the picture")
        (people,) = self._infer.stream([(image, boxes, scores)])
        return Found(image, people)

    def skeletons(self, found: Found) -> np.ndarray:
        """Draw the people's skeletons, and their boxes with numbers if they are several."""
        people = found.people
        image = draw_people(
            found.image, people.keypoints, people.scores >= _SHOWN, self._infer.skeleton
        )
        return _rgb(number_boxes(image, people.boxes) if len(people) > 1 else image)

    def rows(self, found: Found, person: int) -> list[list[str]]:
        """Name, x, y and score of each keypoint of a person, counted from 0."""
        keypoints, scores = found.people.keypoints[person], found.people.scores[person]
        return [
            [name, f"{x:.1f}", f"{y:.1f}", f"{score:.3f}"]
            for name, (x, y), score in zip(
                self._infer.skeleton.names, keypoints, scores, strict=True
            )
        ]

    def heatmaps(self, found: Found, person: int) -> np.ndarray | None:
        """Draw a person's heatmaps; None if the model makes none."""
        return _pixels(self._inspector.heatmaps(found.image, _box(found, person)))

    def center(self, found: Found, person: int) -> Point:
        """The centre of a person's box."""
        return center(_box(found, person))

    def place(self, found: Found, person: int, query: Point) -> np.ndarray:
        """Mark a point in what the model sees of a person; the rest of the picture is dim.

        Raises:
            ValueError: the model does not see the point.
        """
        x, y, width, height = crop = found.people.crops[person]
        if not (x <= query[0] < x + width and y <= query[1] < y + height):
            raise ValueError(
                f"the model sees person {person + 1} in what is not dim: choose a point there, or "
                "another person"
            )
        return _rgb(mark_query(found.image, crop, query))

    def activation(
        self, found: Found, person: int, block: str, query: Point
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Draw the activation map of a block for a point, and the sampling points if it has any."""
        activation, sampling = self._inspector.activation(
            found.image, _box(found, person), block, query
        )
        return _pixels(activation), _pixels(sampling)


def _box(found: Found, person: int) -> tuple[float, float, float, float]:
    return tuple(found.people.boxes[person].tolist())


def _rgb(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[..., ::-1])


def _pixels(figure: Figure | None) -> np.ndarray | None:
    if figure is None:
        return None
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
