"""What a pose model does inside for one person of a picture, as figures."""

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from torch import nn

from hrvmamba.analysis.block_record import BlockIndex, find_block, record_block
from hrvmamba.analysis.block_view import BlockView, view_block
from hrvmamba.analysis.figures import draw_activation, draw_heatmaps, draw_sampling_points
from hrvmamba.integrations.keypoint_heatmaps import keypoint_heatmaps
from hrvmamba.integrations.person_crop import Box, crop_person
from hrvmamba.models import HRVMamba

Point = tuple[float, float]
"""x and y, in pixels of the picture."""

_STAGES = (4, 3, 2)


class Inspector:
    """Looks into a top-down pose model with an HRVMamba backbone.

    Args:
        name: what to call the model in figures.
        config: its MMPose config.
        model: the model, in evaluation mode.

    Attributes:
        blocks: the last DVSS block of each branch of each stage, by a name for people to choose.

    Raises:
        ValueError: the backbone is another one.
    """

    def __init__(self, name: str, config: Config, model: nn.Module) -> None:
        backbone = model.backbone
        if not isinstance(backbone, HRVMamba):
            raise ValueError(f"the backbone must be HRVMamba, got {type(backbone).__name__}")
        self.blocks = _last_blocks(backbone)
        self._name = name
        self._config = config
        self._model = model

    def heatmaps(self, image: np.ndarray, box: Box) -> Figure | None:
        """Draw the heatmaps of the keypoints of the person in a box, without flip test.

        Args:
            image: ``(H, W, 3)``, BGR, uint8.
            box: x, y, width and height, in pixels.

        Returns:
            The figure; None if the model's head makes no heatmaps.
        """
        block = next(iter(self.blocks.values()))  # of which this figure shows nothing
        view = self._view(image, box, block, center(box))
        return draw_heatmaps([view]) if view.heatmaps else None

    def activation(
        self, image: np.ndarray, box: Box, block: str, query: Point
    ) -> tuple[Figure, Figure | None]:
        """Draw what a block does for a point.

        Args:
            image: ``(H, W, 3)``, BGR, uint8.
            box: x, y, width and height of the person whose crop the model sees, in pixels.
            block: a name among :attr:`blocks`.
            query: x and y of the point, in pixels.

        Returns:
            The activation map of the block's scan, and its sampling points; None for these if its
            sampling is not deformable.

        Raises:
            ValueError: the point lies outside the crop.
        """
        view = self._view(image, box, self.blocks[block], query)
        return draw_activation([view]), draw_sampling_points([view]) if view.points else None

    def _view(self, image: np.ndarray, box: Box, index: BlockIndex, query: Point) -> BlockView:
        crop, inputs = crop_person(self._config, self._model, image, box)
        record = record_block(self._model.backbone, index, inputs)
        heatmaps = keypoint_heatmaps(self._config, self._model, record.outputs)
        return view_block(self._name, index, record, crop, query, heatmaps)


def center(box: Box) -> Point:
    """The centre of a box."""
    x, y, width, height = box
    return x + width / 2, y + height / 2


def _last_blocks(backbone: HRVMamba) -> dict[str, BlockIndex]:
    """The last block of each branch, the deepest stage first."""
    return {
        f"stage {stage}, branch {branch}": find_block(backbone, stage, branch)
        for stage in _STAGES
        for branch in range(len(getattr(backbone, f"stage{stage}")[-1].branches))
    }
