"""What goes through one DVSS block of a backbone when it sees an image."""

import dataclasses
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hrvmamba.layers import DSS2D, SS2D
from hrvmamba.models import HRVMamba
from hrvmamba.ops.paths import DIRECTIONS


class BlockIndex(NamedTuple):
    """Where a DVSS block is. All but the stage are counted from 0, the finest branch first."""

    stage: int
    module: int
    branch: int
    block: int

    def __str__(self) -> str:
        return ", ".join(f"{name} {number}" for name, number in self._asdict().items())


@dataclasses.dataclass(frozen=True)
class BlockRecord:
    """What went through a block, for one image. Maps are channels-last, (H, W, C).

    Attributes:
        scan: the block's SS2D, which may be a DSS2D.
        ssm_params: what its scan was given, ``(H, W, 4, R + 2N)``.
        offset_mask: what its deformable sampling was given; None where there is none.
        branch_features: what left the blocks of each branch of its module, ahead of the fusion,
            finest first.
        outputs: the backbone's maps, ``(1, C, H, W)``.
    """

    scan: SS2D
    ssm_params: Tensor
    offset_mask: Tensor | None
    branch_features: list[Tensor]
    outputs: tuple[Tensor, ...]


def find_block(
    backbone: HRVMamba, stage: int, branch: int, module: int | None = None, block: int | None = None
) -> BlockIndex:
    """Check that a backbone has a block.

    Args:
        backbone: the backbone.
        stage: 2, 3 or 4.
        branch: from 0, the finest.
        module: from 0; None is the stage's last.
        block: from 0; None is the branch's last.

    Raises:
        ValueError: there is no such block; what there is is named.
    """
    if stage not in (2, 3, 4):
        raise ValueError(f"stage must be 2, 3 or 4, which have DVSS blocks, got {stage}")
    modules = getattr(backbone, f"stage{stage}")
    branches = modules[0].branches
    blocks = branches[0]
    index = BlockIndex(
        stage,
        len(modules) - 1 if module is None else module,
        branch,
        len(blocks) - 1 if block is None else block,
    )
    for name, number, parts in (
        ("module", index.module, modules),
        ("branch", index.branch, branches),
        ("block", index.block, blocks),
    ):
        if number not in range(len(parts)):
            allowed = "0" if len(parts) == 1 else f"from 0 to {len(parts) - 1}"
            raise ValueError(f"{name} must be {allowed} in stage {stage}, got {number}")
    return index


@torch.no_grad()
def record_block(backbone: HRVMamba, index: BlockIndex, image: Tensor) -> BlockRecord:
    """Run a backbone on an image and keep what goes through one of its blocks.

    Args:
        backbone: in evaluation mode.
        index: the block, as :func:`find_block` gives it.
        image: ``(1, 3, H, W)``, normalised.
    """
    branches = getattr(backbone, f"stage{index.stage}")[index.module].branches
    scan = branches[index.branch][index.block].dss2d
    kept: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept[module] = output[0]

    watched = [scan.x_proj, *(blocks[-1] for blocks in branches)]
    if isinstance(scan, DSS2D):
        watched.append(scan.offset_mask)
    with ExitStack() as hooks:
        for module in watched:
            hooks.callback(module.register_forward_hook(keep).remove)
        outputs = backbone(image)
    return BlockRecord(
        scan=scan,
        ssm_params=kept[scan.x_proj].unflatten(-1, (DIRECTIONS, -1)),
        offset_mask=kept[scan.offset_mask] if isinstance(scan, DSS2D) else None,
        branch_features=[kept[blocks[-1]] for blocks in branches],
        outputs=outputs,
    )
