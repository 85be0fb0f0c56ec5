"""Halving an ONNX model: 16-bit weights and activations between 32-bit inputs and outputs."""

import numpy as np
import onnx
from onnx import TensorProto, defs, helper, numpy_helper

_LARGEST = np.finfo(np.float16).max


def halve(model: onnx.ModelProto) -> None:
    """Make the weights of a model, and all that is computed with them, 16-bit floats, in place.

    The model's inputs and outputs stay 32-bit, and so do the weights of operators that are not
    ONNX's own and whatever an operator takes in 32 bits alone.

    Args:
        model: with constants in its initializers alone.

    Raises:
        ValueError: a weight is beyond the range of 16-bit floats.
    """
    graph = model.graph
    (opset,) = (item.version for item in model.opset_import if not item.domain)
    floats = {
        tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT
    }
    ends = {info.name: f"{info.name}_half" for info in (*graph.input, *graph.output)}
    halves: dict[str, onnx.TensorProto] = {}
    for node in graph.node:
        node.output[:] = [ends.get(name, name) for name in node.output]
        for index, name in enumerate(node.input):
            if name in floats and _takes_half(node, index, opset):
                if name not in halves:
                    halves[name] = _half(floats[name])
                node.input[index] = halves[name].name
            else:
                node.input[index] = ends.get(name, name)

    first = [_cast(info.name, ends[info.name], TensorProto.FLOAT16) for info in graph.input]
    last = [_cast(ends[info.name], info.name, TensorProto.FLOAT) for info in graph.output]
    nodes = [*first, *graph.node, *last]
    used = {name for node in nodes for name in node.input}
    tensors = [tensor for tensor in (*graph.initializer, *halves.values()) if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)


def _half(tensor: onnx.TensorProto) -> onnx.TensorProto:
    value = numpy_helper.to_array(tensor)
    if np.abs(value).max(initial=0) > _LARGEST:
        raise ValueError(
            f"{tensor.name} holds {np.abs(value).max():g}, and 16-bit floats end at {_LARGEST:g}"
        )
    return numpy_helper.from_array(value.astype(np.float16), f"{tensor.name}_half")


def _takes_half(node: onnx.NodeProto, index: int, opset: int) -> bool:
    """Whether a node takes a 16-bit float as one of its inputs."""
    if node.domain:
        return False
    schema = defs.get_schema(node.op_type, opset)
    kind = schema.inputs[min(index, len(schema.inputs) - 1)].type_str
    allowed = {item.type_param_str: item.allowed_type_strs for item in schema.type_constraints}
    return "tensor(float16)" in allowed.get(kind, ())


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{source}", to=kind)
