"""A whole network as an ONNX model, against PyTorch."""

import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from hrvmamba.export.onnx_model import OPSETS, to_onnx  # noqa: E402
from hrvmamba.layers import DVSSBlock  # noqa: E402
from hrvmamba.ops import backend  # noqa: E402

SIZE = (64, 32)


def difference(network, model, run_onnx, batch):
    """The largest difference from PyTorch's output, as a share of its standard deviation."""
    images = torch.randn(batch, 3, *SIZE)
    with torch.no_grad():
        expected = network(images)
    return ((run_onnx(model, images=images) - expected).abs().max() / expected.std()).item()


@pytest.fixture(scope="module")
def model(network):
    return to_onnx(network, torch.randn(2, 3, *SIZE), "images", "maps")


@pytest.mark.parametrize("batch", [1, 3])
def test_any_batch_gives_pytorchs_output(network, model, run_onnx, batch):
    assert difference(network, model, run_onnx, batch) < 2e-4


def test_it_holds_standard_operators_and_the_names_that_were_given(model):
    assert {item.domain for item in model.opset_import} == {""}
    assert [item.version for item in model.opset_import] == [OPSETS[0]]
    assert {node.domain for node in model.graph.node} == {""}
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Scan") == 6 * 44 and kinds.count("GridSample") == 44
    assert "Constant" not in kinds and "BatchNormalization" not in kinds
    assert not any(node.doc_string for node in model.graph.node)  # paths of this machine
    (image,), (out,) = model.graph.input, model.graph.output
    assert (image.name, out.name) == ("images", "maps")
    sizes = [dim.dim_param or dim.dim_value for dim in image.type.tensor_type.shape.dim]
    assert sizes == ["batch", 3, *SIZE]
    assert model.producer_name == "hrvmamba"


def test_the_newest_opset_and_16_bits(network, model, run_onnx):
    small = to_onnx(network, torch.randn(2, 3, *SIZE), "images", "maps", OPSETS[-1], half=True)
    assert [item.version for item in small.opset_import] == [OPSETS[-1]]
    assert len(small.SerializeToString()) < len(model.SerializeToString())
    assert 2e-4 < difference(network, small, run_onnx, 2) < 0.1


@pytest.mark.parametrize("options", [{}, {"use_offset_conv": True}], ids=str)
def test_without_compiled_kernels_too_and_the_network_stays_as_it_is(options, run_onnx):
    block = DVSSBlock(8, **options).eval()
    nn.init.normal_(block.dss2d.offset_mask.bias)
    kept = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    with backend("reference"):
        model = to_onnx(block, torch.randn(2, 6, 5, 8), "x", "y")
    assert all(torch.equal(kept[name], tensor) for name, tensor in block.state_dict().items())
    assert not any(module.training for module in block.modules())
    x = torch.randn(3, 6, 5, 8)
    with torch.no_grad():
        torch.testing.assert_close(run_onnx(model, x=x), block(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("opset", [16, 21])
def test_other_opsets_are_refused(opset):
    with pytest.raises(ValueError, match=f"the opset must be from 17 to 20, got {opset}"):
        to_onnx(nn.Identity(), torch.zeros(2), "x", "y", opset)


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(ValueError, match="evaluation mode"):
        to_onnx(nn.Sequential(nn.ReLU()), torch.zeros(2), "x", "y")
