import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from hrvmamba.export.half import halve  # noqa: E402


def model(*weights):
    parsed = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        g (float[batch, 2, 4, 4] x) => (float[batch, 2, 8, 8] y) {
            shifted = Add(x, weight)
            y = Resize <mode = "linear"> (shifted, , scales)
        }""")
    weight = np.array(weights, np.float32).reshape(2, 1, 1)
    for name, value in (("weight", weight), ("scales", np.array([1, 1, 2, 2], np.float32))):
        parsed.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    return parsed


def test_weights_are_halved_but_for_what_must_be_whole():
    parsed = model(0.1, 0.2)
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype(np.float32)
    evaluator = onnx.reference.ReferenceEvaluator
    (expected,) = evaluator(parsed).run(None, {"x": x})
    halve(parsed)
    onnx.checker.check_model(parsed, full_check=True)
    kinds = {tensor.name: tensor.data_type for tensor in parsed.graph.initializer}
    assert kinds == {
        "scales": onnx.TensorProto.FLOAT,
        "weight_half": onnx.TensorProto.FLOAT16,
    }
    (out,) = evaluator(parsed).run(None, {"x": x})
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected, atol=5e-3)
    assert np.abs(out - expected).max() > 1e-5  # it was computed in 16 bits


def test_a_weight_beyond_16_bits_is_refused():
    with pytest.raises(ValueError, match=r"weight holds 100000, and 16-bit floats end at 65504"):
        halve(model(1.0, 1e5))
