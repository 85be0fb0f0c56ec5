"""The operators as ONNX graphs, run by onnxruntime, against the ops in float64."""

import pytest
import torch

from hrvmamba import ops

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from hrvmamba.export import operators  # noqa: E402
from hrvmamba.export.graph import GraphBuilder  # noqa: E402
from hrvmamba.export.onnx_model import OPSETS  # noqa: E402

FLOAT = onnx.TensorProto.FLOAT


def run(builder, **inputs):
    """What a graph with an output "out" makes of inputs, for any batch."""
    graph = onnx.helper.make_graph(
        builder.nodes,
        "graph",
        [
            onnx.helper.make_tensor_value_info(name, FLOAT, ["batch", *value.shape[1:]])
            for name, value in inputs.items()
        ],
        [onnx.helper.make_tensor_value_info("out", FLOAT, [None] * 4)],
        builder.initializers,
    )
    opset = onnx.helper.make_opsetid("", builder.opset)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (out,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return torch.from_numpy(out)


@pytest.mark.parametrize("opset", [OPSETS[0], OPSETS[-1]])
@pytest.mark.parametrize(("batch", "size", "groups"), [(1, (5, 3), 1), (3, (6, 8), 2)])
def test_deform_sample(opset, batch, size, groups):
    channels = 4 * groups
    value = torch.randn(batch, *size, channels)
    offset_mask = 2 * torch.randn(batch, *size, 27 * groups + 5)  # many points leave the map
    for silu in (True, False):
        builder = GraphBuilder(opset)
        operators.deform_sample(
            builder, "value", "offset_mask", "out", size, channels, groups, silu
        )
        out = run(builder, value=value, offset_mask=offset_mask)
        expected = ops.deform_sample(
            value.double(), offset_mask.double(), groups, "silu" if silu else None
        )
        torch.testing.assert_close(out.double(), expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize(("batch", "size"), [(1, (5, 3)), (3, (6, 8)), (2, (1, 4)), (2, (4, 1))])
def test_selective_scan_2d(batch, size):
    channels, dt_rank = 6, 2
    u = torch.randn(batch, *size, channels)
    params = torch.randn(batch, *size, 4, dt_rank + 2)
    weights = {
        "dt_weight": torch.randn(4, channels, dt_rank),
        "dt_bias": torch.randn(4, channels),
        "A_log": torch.randn(4, channels, 1),
        "D": torch.randn(4, channels),
    }
    builder = GraphBuilder(17)
    operators.selective_scan_2d(
        builder,
        "u",
        "params",
        "out",
        **{name: weight.numpy() for name, weight in weights.items()},
        size=size,
    )
    out = run(builder, u=u, params=params)
    expected = ops.selective_scan_2d(
        u.double(), params.double(), *(weight.double() for weight in weights.values())
    )
    torch.testing.assert_close(out.double(), expected, atol=1e-5, rtol=1e-5)
