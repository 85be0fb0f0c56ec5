"""Everything that is to be seen of one block of a model, for one point of an image."""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from hrvmamba.analysis.activation_map import activation_map, mean_magnitude
from hrvmamba.analysis.block_record import BlockIndex, BlockRecord
from hrvmamba.analysis.crop import Crop
from hrvmamba.analysis.sampling_points import SamplingPoints, sampling_points


@dataclasses.dataclass(frozen=True)
class BlockView:
    """What a block does for the token that a point of an image, the query, lies in.

    Attributes:
        model: what to call the model.
        index: the block.
        scan: "DSS2D" or "SS2D".
        crop: the part of the image that the model saw.
        query: x and y, in pixels of the image.
        token: row and column of the token that it lies in.
        rows: the token's row of each direction's scan, ``(4, H, W, D)``; see
            :func:`hrvmamba.analysis.activation_map.activation_map`.
        points: the token's sampling points; None where the sampling is not deformable.
        energies: of each branch of the block's module, finest first, the norm over channels of
            what left its blocks, ``(H, W)``.
        heatmaps: the head's heatmaps by keypoint, ``(h, w)``; empty where it makes none.
    """

    model: str
    index: BlockIndex
    scan: str
    crop: Crop
    query: tuple[float, float]
    token: tuple[int, int]
    rows: Tensor
    points: SamplingPoints | None
    energies: list[Tensor]
    heatmaps: dict[str, Tensor]

    @property
    def maps(self) -> Tensor:
        """The mean magnitudes over channels, ``(5, H, W)``: merged, then of each direction."""
        return mean_magnitude(torch.cat([self.rows.sum(0, keepdim=True), self.rows]))

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it by name."""
        arrays = {
            "query": np.array(self.query),
            "box": np.array(self.crop.box),
            "token": np.array(self.token),
            "tokens_to_image": self.crop.tokens_to_image(self.rows.shape[1:3]),
            "rows": self.rows.float().numpy(),
            "maps": self.maps.float().numpy(),
        }
        if self.points:
            arrays["sampling_positions"] = self.points.positions.numpy()
            arrays["sampling_masks"] = self.points.masks.numpy()
        for branch, energy in enumerate(self.energies):
            arrays[f"energy_branch{branch}"] = energy.numpy()
        if self.heatmaps:
            arrays["keypoints"] = np.array(list(self.heatmaps))
            arrays["heatmaps"] = np.stack([heatmap.numpy() for heatmap in self.heatmaps.values()])
        return arrays


def view_block(
    model: str,
    index: BlockIndex,
    record: BlockRecord,
    crop: Crop,
    query: tuple[float, float],
    heatmaps: dict[str, Tensor],
) -> BlockView:
    """Compute what is to be seen from what went through a block.

    Args:
        model: what to call the model.
        index: the block.
        record: of that block, for the crop.
        crop: the part of the image that the model saw.
        query: x and y, in pixels of the image.
        heatmaps: by keypoint, ``(h, w)``.

    Raises:
        ValueError: the query lies outside the crop, or the scan is not finite.
    """
    scan = record.scan
    token = crop.token_at(query, record.ssm_params.shape[:2])
    points = None
    if record.offset_mask is not None:
        points = sampling_points(record.offset_mask, scan.groups, token)
    weights = (scan.dt_weight, scan.dt_bias, scan.A_log, scan.Dskip)
    rows = activation_map(record.ssm_params, *weights, token)
    if not rows.isfinite().all():
        raise ValueError(f"the scan of {model} is not finite: its weights are damaged or diverged")
    return BlockView(
        model=model,
        index=index,
        scan=type(scan).__name__,
        crop=crop,
        query=query,
        token=token,
        rows=rows,
        points=points,
        energies=[features.norm(dim=-1) for features in record.branch_features],
        heatmaps=heatmaps,
    )
