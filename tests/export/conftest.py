"""A small network whose output is well conditioned, and onnxruntime as a function."""

import pytest
import torch
from torch import nn

from hrvmamba.export.calibration import calibrate_norms
from hrvmamba.models import HRVMamba


class Backbone(nn.Module):
    """A Nano backbone with one output."""

    def __init__(self):
        super().__init__()
        self.backbone = HRVMamba("nano")

    def forward(self, images):
        (out,) = self.backbone(images)
        return out


@pytest.fixture(scope="session")
def network():
    torch.manual_seed(2)
    network = Backbone().eval()
    calibrate_norms(network, torch.randn(4, 3, 64, 32))
    return network


@pytest.fixture(scope="session")
def run_onnx():
    onnxruntime = pytest.importorskip("onnxruntime")

    def run(model, **inputs):
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (out,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        return torch.from_numpy(out)

    return run
