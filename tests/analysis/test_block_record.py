"""What is recorded of a block explains what the network computes."""

import dataclasses

import pytest
import torch

from hrvmamba.analysis.activation_map import activation_map
from hrvmamba.analysis.block_record import BlockIndex, find_block, record_block
from hrvmamba.layers import DSS2D
from hrvmamba.models import ARCHS, HRVMamba


@pytest.mark.parametrize("dilations", [None, (1,)], ids=["DSS2D", "SS2D"])
@pytest.mark.parametrize("index", [BlockIndex(2, 0, 1, 0), BlockIndex(3, 2, 0, 1)])
def test_rows_of_the_record_give_the_scans_output(dilations, index):
    model = HRVMamba(dataclasses.replace(ARCHS["nano"], dilations=dilations)).eval()
    scan = getattr(model, f"stage{index.stage}")[index.module].branches[index.branch][index.block]
    scan = scan.dss2d
    for parameter in scan.parameters():  # untrained, the masks are 0
        torch.nn.init.normal_(parameter, std=0.3)
    seen = {}
    scan.x_proj.register_forward_pre_hook(lambda module, inputs: seen.update(u=inputs[0][0]))
    scan.out_norm.register_forward_pre_hook(lambda module, inputs: seen.update(y=inputs[0][0]))
    record = record_block(model, index, torch.randn(1, 3, 64, 96))

    assert record.scan is scan
    assert (record.offset_mask is not None) == isinstance(scan, DSS2D)
    query = (3, 5)
    weights = (scan.dt_weight, scan.dt_bias, scan.A_log, scan.Dskip)
    rows = activation_map(record.ssm_params, *weights, query)
    computed = (rows.sum(0) * seen["u"]).sum((0, 1)).float()
    torch.testing.assert_close(computed, seen["y"][query], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def backbone():
    """An untrained Nano."""
    return HRVMamba("nano").eval()


def test_branch_features_are_what_is_fused(backbone):
    record = record_block(backbone, BlockIndex(4, 1, 2, 0), torch.randn(1, 3, 64, 96))
    shapes = [tuple(features.shape) for features in record.branch_features]
    assert shapes == [(16, 24, 8), (8, 12, 16), (4, 6, 32), (2, 3, 64)]
    branches = [features.permute(2, 0, 1)[None] for features in record.branch_features]
    with torch.no_grad():
        fused = backbone.stage4[1].fusion(branches)
    torch.testing.assert_close(fused[0], record.outputs[0])


def test_leaves_no_hooks(backbone):
    record_block(backbone, BlockIndex(2, 0, 0, 0), torch.randn(1, 3, 32, 32))
    assert not any(module._forward_hooks for module in backbone.modules())


def test_finds_the_last_module_and_block(backbone):
    assert find_block(backbone, 3, 1) == (3, 3, 1, 1)
    assert find_block(backbone, 4, 3, module=0, block=0) == (4, 0, 3, 0)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"stage": 1, "branch": 0}, "stage must be 2, 3 or 4.*, got 1"),
        ({"stage": 5, "branch": 0}, "stage must be 2, 3 or 4.*, got 5"),
        ({"stage": 2, "branch": 2}, "branch must be from 0 to 1 in stage 2, got 2"),
        ({"stage": 4, "branch": -1}, "branch must be from 0 to 3 in stage 4, got -1"),
        ({"stage": 2, "branch": 0, "module": 1}, "module must be 0 in stage 2, got 1"),
        ({"stage": 3, "branch": 0, "module": 4}, "module must be from 0 to 3 in stage 3, got 4"),
        ({"stage": 3, "branch": 0, "block": 2}, "block must be from 0 to 1 in stage 3, got 2"),
    ],
)
def test_blocks_that_are_not_there_are_refused(backbone, place, message):
    with pytest.raises(ValueError, match=message):
        find_block(backbone, **place)
