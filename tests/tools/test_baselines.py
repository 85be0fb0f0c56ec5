"""Training and testing of models that are not HRVMamba."""

import json
from pathlib import Path

import pytest
import torch

VMAMBA = """
_base_ = ["small.py"]
model = dict(
    backbone=dict(
        _delete_=True,
        type="VMamba",
        arch=dict(channels=8, depths=(1, 1, 1, 1), ssm_ratio=1.0),
        drop_path_rate=0.1,
    ),
    head=dict(in_channels={in_channels}, deconv_out_channels=(8, 8, 8)),
)
"""


@pytest.fixture
def vmamba(config: Path) -> Path:
    """A config of a small VMamba on the small data set."""
    path = config.with_name("vmamba.py")
    path.write_text(VMAMBA.format(in_channels=64))
    return path


def test_trains_resumes_and_tests_vmamba(run_tool, vmamba):
    run_tool("train", vmamba, "--work-dir", "run", "--cfg-options", "train_cfg.max_epochs=1")
    run_tool("train", vmamba, "--work-dir", "run", "--resume")
    first, last = (torch.load(f"run/epoch_{epoch}.pth") for epoch in (1, 2))
    name = "backbone.stages.0.0.ss2d.A_log"
    assert not torch.equal(first["state_dict"][name], last["state_dict"][name])
    run_tool("test", vmamba, "run/epoch_2.pth", "--out", "metrics.json")
    assert 0 <= json.loads(Path("metrics.json").read_text())["coco/AP"] <= 1


def test_a_head_of_other_channels(refused, vmamba):
    vmamba.write_text(VMAMBA.format(in_channels=32))
    assert "set model.head.in_channels=64" in refused("train", vmamba)
