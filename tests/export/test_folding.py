import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from hrvmamba.export.folding import fold  # noqa: E402


def model(text):
    parsed = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17, "own": 1]>\n{text}')
    return parsed


def operators(graph):
    return [node.op_type for node in graph.node]


def run(parsed, **inputs):
    return onnx.reference.ReferenceEvaluator(parsed).run(None, inputs)[0]


def test_known_sizes_become_constants_and_the_batch_stays_free():
    parsed = model("""
        g (float[batch, 3, 4] x) => (float[batch, n, m] y) {
            shape = Shape(x)
            two = Constant <value_ints = [2]> ()
            height = Gather(shape, two)
            end = Constant <value_ints = [-1]> ()
            first = Constant <value_ints = [0]> ()
            batch = Gather(shape, first)
            sizes = Concat <axis = 0> (batch, height, end)
            same = Identity(x)
            y = Reshape(same, sizes)
        }""")
    fold(parsed)
    assert operators(parsed.graph) == ["Reshape"]
    (sizes,) = parsed.graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(sizes), [0, 4, -1])
    for batch in (1, 5):
        x = np.random.default_rng(0).normal(size=(batch, 3, 4)).astype(np.float32)
        np.testing.assert_array_equal(run(parsed, x=x), x.reshape(batch, 4, 3))


def test_what_depends_on_the_batch_stays():
    parsed = model("""
        g (float[batch, 3] x) => (float[n] y) {
            shape = Shape(x)
            zero = Constant <value_float = 0.0> ()
            row = Constant <value_ints = [1]> ()
            batch = Slice(shape, index, row)
            y = Expand(zero, batch)
            unused = Relu(x)
        }""")
    index = onnx.numpy_helper.from_array(np.array([0]), "index")
    parsed.graph.initializer.append(index)
    fold(parsed)
    assert operators(parsed.graph) == ["Shape", "Slice", "Expand"]
    assert run(parsed, x=np.zeros((6, 3), np.float32)).shape == (6,)


def test_equal_constants_are_kept_once_and_unknown_operators_are_left():
    parsed = model("""
        g (float[batch, 2] x) => (float[batch, 2] y) {
            a = Constant <value_floats = [1.0, 2.0]> ()
            b = Constant <value_floats = [1.0, 2.0]> ()
            z = Add(x, a)
            own = own.Something(z, b)
            y = Add(own, b)
        }""")
    info = onnx.helper.make_tensor_value_info("own", onnx.TensorProto.FLOAT, ["batch", 2])
    parsed.graph.value_info.append(info)
    fold(parsed)
    assert operators(parsed.graph) == ["Add", "Something", "Add"]
    (constant,) = parsed.graph.initializer
    assert all(node.input[1] == constant.name for node in parsed.graph.node)
