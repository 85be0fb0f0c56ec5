"""What is found in an image."""

import dataclasses

import numpy as np

_SCORED = 0.2


@dataclasses.dataclass(frozen=True)
class PoseResult:
    """The N people of an image, with K keypoints each.

    Points are (x, y) in pixels of the image, (0, 0) being the centre of the first one. Boxes are
    x, y, width, height, as COCO's.

    Attributes:
        keypoints: ``(N, K, 2)``, float32.
        scores: ``(N, K)``, float32: of each keypoint, the maximum of its heatmap, which is mostly
            from 0 to 1.
        boxes: ``(N, 4)``, float32: the boxes that were given.
        box_scores: ``(N,)``, float32: their scores.
        crops: ``(N, 4)``, float32: the part of the image that the model saw of each, a box too.
        heatmaps: ``(N, K, h, w)``, float32, over the crops; None if they were not asked for.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    box_scores: np.ndarray
    crops: np.ndarray
    heatmaps: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def person_scores(self) -> np.ndarray:
        """``(N,)``: the box's score times the mean score of the keypoints above 0.2.

        That is the score which MMPose's CocoMetric gives a person.
        """
        counted = self.scores > _SCORED
        means = (self.scores * counted).sum(1) / np.maximum(counted.sum(1), 1)
        return self.box_scores * means
