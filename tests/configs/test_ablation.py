"""The rows of the paper's two ablation tables."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData

from hrvmamba.analysis import cost
from hrvmamba.integrations.model_configs import build_model
from hrvmamba.layers import SS2D, DepthwiseConv
from hrvmamba.models import ARCHS, Arch

CONFIGS = Path(__file__).parents[2] / "configs"
FULL = "sampling_deformable"

SIZE = (256, 192)
WIDTHS = (32, 64, 128, 256)
# Blocks of each branch: two a module, in the seven modules of stages 2 to 4, of which the third
# branch is in six and the fourth in two.
BLOCKS = (14, 14, 12, 4)
POSITIONS = tuple(SIZE[0] * SIZE[1] // (4 * 2**branch) ** 2 for branch in range(4))


# Parameters of a part of a block of width C, and multiply-accumulates at each position.


def nothing(width):
    return 0, 0


def deformable(width):
    """A linear layer for 27 columns a group, padded to a multiple of 8, and the sampling."""
    inner, groups = 2 * width, math.ceil(width / 16)
    columns = math.ceil(27 * groups / 8) * 8
    return (inner + 1) * columns, inner * columns + 45 * inner


def depthwise(width):
    """Nine weights and a bias for each inner channel, whatever the dilations."""
    return 10 * 2 * width, 9 * 2 * width


def convolutions(width, sizes):
    """A depthwise kernel with bias for each of the channels, of the size of its quarter."""
    taps = sum(size**2 * width // 4 for size in sizes)
    return taps + width, taps


def block(width, sizes=(3, 5, 7, 9)):
    """The convolutions and a LayerNorm, which counts two for each element."""
    parameters, macs = convolutions(width, sizes)
    return parameters + 2 * width, macs + 2 * width


def narrow_block(width):
    return block(width, (3, 3, 3, 3))


def in_ffn(width):
    return convolutions(2 * width, (3, 5, 7, 9))


NETWORKS = {  # sampling, dilations, ESInB
    "sampling_deformable": (deformable, None, block),
    "sampling_depthwise": (depthwise, [1], block),
    "sampling_dilation_3": (depthwise, [3], block),
    "sampling_dilation_5": (depthwise, [5], block),
    "sampling_dilation_1_3_5": (depthwise, [1, 3, 5], block),
    "esinb_in_ffn": (deformable, None, in_ffn),
    "esinb_none": (deformable, None, nothing),
    "esinb_kernels_3": (deformable, None, narrow_block),
}


TWINS = {"sampling_dilation_1": "sampling_depthwise", "esinb_block": FULL}


def load(name):
    return Config.fromfile(CONFIGS / f"ablation/{name}.py")


@pytest.fixture(scope="module")
def full():
    """The cost of the network that the paper proposes."""
    return cost(build_model(load(FULL)).backbone, SIZE)


def test_there_is_a_config_for_each_row():
    assert {
        path.stem for path in (CONFIGS / "ablation").glob("*.py")
    } == NETWORKS.keys() | TWINS.keys()


def test_the_full_network_is_the_papers_small(full):
    assert full.parameters == 8_033_840
    assert full.macs == pytest.approx(3.3e9, rel=0.02)
    config, small = load(FULL), Config.fromfile(CONFIGS / "coco/hrvmamba_small_256x192.py")
    assert ARCHS[small.model.backbone.pop("arch")] == Arch(**config.model.backbone.pop("arch"))
    assert config.to_dict() == small.to_dict()


@pytest.mark.parametrize("name", NETWORKS)
def test_differs_from_the_full_network_in_one_thing(name, full):
    config = load(name)
    changed = set(config.model.backbone.pop("arch")) - {"bottleneck_channels", "channels"}
    assert len(changed) <= 1
    rest = load(FULL)
    rest.model.backbone.pop("arch")
    assert config.to_dict() == rest.to_dict()
    assert config.model.backbone.get("init_cfg") is None and config.get("load_from") is None


@pytest.mark.parametrize(("name", "other"), TWINS.items())
def test_rows_of_one_network(name, other):
    """The full network is in both tables, and a dilation of 1 is none."""
    assert load(name).to_dict() == load(other).to_dict()


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {FULL}))
def test_parameters_and_cost(name, full):
    """Beside the full network's, by formulas of what is taken out and what is put in."""
    sampling, dilations, esinb = NETWORKS[name]
    backbone = build_model(load(name)).backbone
    parameters, macs = 0, 0
    for width, blocks, positions in zip(WIDTHS, BLOCKS, POSITIONS, strict=True):
        for part, sign in ((sampling, 1), (deformable, -1), (esinb, 1), (block, -1)):
            part_parameters, part_macs = part(width)
            parameters += sign * blocks * part_parameters
            macs += sign * blocks * positions * part_macs
    counted = cost(backbone, SIZE)
    assert counted.parameters - full.parameters == parameters
    assert counted.macs - full.macs == macs

    for module in backbone.modules():
        if isinstance(module, SS2D):
            convs = [conv for conv in module.modules() if isinstance(conv, DepthwiseConv)]
            assert [conv.dilation[0] for conv in convs] == (dilations or [])


def people():
    """Random crops of two people, with a heatmap of one pixel for each of their keypoints."""
    from mmpose.structures import PoseDataSample

    samples = []
    for _ in range(2):
        heatmaps = torch.zeros(17, 16, 16)
        heatmaps.flatten(1)[torch.arange(17), torch.randint(256, (17,))] = 1
        samples.append(
            PoseDataSample(
                gt_fields=PixelData(heatmaps=heatmaps),
                gt_instance_labels=InstanceData(keypoint_weights=torch.ones(1, 17)),
            )
        )
    crops = [torch.randint(256, (3, 64, 64), dtype=torch.uint8) for _ in samples]
    return {"inputs": crops, "data_samples": samples}


@pytest.mark.parametrize("name", NETWORKS)
def test_trains(name):
    config = load(name)
    config.model.backbone.drop_path_rate = 0.0  # at random, it keeps gradients from whole paths
    model = build_model(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    crops = model.data_preprocessor(people(), training=True)
    for _ in range(3):  # the first step moves the masks from zero, and only then do offsets matter
        optimizer.zero_grad()
        loss, _ = model.parse_losses(model(**crops, mode="loss"))
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without
