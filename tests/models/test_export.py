"""The network as one graph: torch.compile and torch.export, with the compiled ops."""

import pytest
import torch

from hrvmamba.models import HRVMamba
from hrvmamba.ops.backend import NATIVE_DEVICES

pytestmark = pytest.mark.skipif("cpu" not in NATIVE_DEVICES, reason="needs the compiled kernels")


@pytest.fixture
def model():
    return HRVMamba("nano").eval()


def test_trains_as_one_compiled_graph(model):
    x = torch.randn(1, 3, 64, 48)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    results = []
    for network in (model, compiled):
        model.zero_grad()
        (out,) = network(x)
        out.square().mean().backward()
        results.append((out, *(parameter.grad.clone() for parameter in model.parameters())))
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-3)


def test_exports_with_a_free_batch(model):
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(
        model, (torch.randn(2, 3, 64, 48),), dynamic_shapes=({0: batch},)
    )
    calls = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert {"hrvmamba.deform_sample.default", "hrvmamba.selective_scan_2d.default"} <= calls
    x = torch.randn(3, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(x), model(x))
