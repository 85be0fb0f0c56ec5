"""Folding an ONNX graph whose sizes are all known but for the batch."""

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_node_outputs

_BATCHES = (7, 11)
"""Batches to try: a value that comes out the same for both does not depend on the batch."""


def fold(model: onnx.ModelProto) -> None:
    """Replace in place what is the same for every input by constants, and drop what is not used.

    Args:
        model: its value_info must give the outputs of operators that are not ONNX's own.
    """
    graph = model.graph
    constants = _constants(model)
    results = {output.name for output in graph.output}
    sources: dict[str, str] = {}  # of what an Identity passes on
    nodes = []
    for node in graph.node:
        node.input[:] = [sources.get(name, name) for name in node.input]
        if node.op_type == "Identity" and node.output[0] not in results:
            sources[node.output[0]] = node.input[0]
        elif not constants.keys() >= set(node.output):
            nodes.append(node)

    used, kept = results, []
    for node in reversed(nodes):
        if used & set(node.output):
            used |= set(node.input)
            kept.append(node)

    tensors: dict[tuple, onnx.TensorProto] = {}
    for node in kept:
        for index, name in enumerate(node.input):
            if name in constants:
                value = constants[name]
                key = (value.dtype.str, value.shape, value.tobytes())
                tensor = tensors.setdefault(key, numpy_helper.from_array(value, name))
                node.input[index] = tensor.name
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(tensors.values())


def _constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The values that are the same for every batch."""
    (known, sizes), (others, other_sizes) = (_known(model, batch) for batch in _BATCHES)
    constants = {
        name: value
        for name, value in known.items()
        if name in others and np.array_equal(value, others[name])
    }
    for node in model.graph.node:
        if node.op_type == "Reshape" and node.input[1] in known:
            source, target = node.input
            firsts = known[target][0], others[target][0]
            keeps = firsts == (sizes[source][0], other_sizes[source][0]) == _BATCHES
            if keeps and np.array_equal(known[target][1:], others[target][1:]):
                constants[target] = np.array([0, *known[target][1:]])  # 0: as it was
    return constants


def _known(
    model: onnx.ModelProto, batch: int
) -> tuple[dict[str, np.ndarray], dict[str, list[int]]]:
    """The values that follow from constants and sizes, for a batch, and the sizes of all values."""
    graph = model.graph
    known: dict[str, np.ndarray] = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
    }
    types = {name: _type_of(value) for name, value in known.items()}
    for info in (*graph.input, *graph.value_info):
        types[info.name] = onnx.TypeProto()
        types[info.name].CopyFrom(info.type)
        for dim in types[info.name].tensor_type.shape.dim[:1]:
            dim.dim_value = dim.dim_value or batch
    opset = {item.domain: item.version for item in model.opset_import}[""]
    for node in graph.node:
        if node.domain:
            continue
        names = [name for name in node.input if name]
        if node.op_type == "Shape":
            inputs = {names[0]: np.broadcast_to(np.float32(0), _sizes(types[names[0]]))}
        else:
            inputs = {name: known[name] for name in names if name in known}
        if len(inputs) == len(set(names)):
            outputs = _evaluate(node, inputs, opset)
            known |= outputs
            types |= {name: _type_of(value) for name, value in outputs.items()}
        else:
            types |= infer_node_outputs(
                defs.get_schema(node.op_type, opset),
                node,
                {name: types[name] for name in names},
                {name: numpy_helper.from_array(value, name) for name, value in inputs.items()},
                opset_imports=[helper.make_opsetid("", opset)],
                ir_version=model.ir_version,
            )
    return known, {name: _sizes(kind) for name, kind in types.items()}


def _sizes(kind: onnx.TypeProto) -> list[int]:
    return [dim.dim_value for dim in kind.tensor_type.shape.dim]


def _type_of(value: np.ndarray) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def _evaluate(
    node: onnx.NodeProto, inputs: dict[str, np.ndarray], opset: int
) -> dict[str, np.ndarray]:
    """What a node makes of known inputs."""
    graph = helper.make_graph(
        [node],
        "node",
        [onnx.ValueInfoProto(name=name) for name in inputs],
        [onnx.ValueInfoProto(name=name) for name in node.output],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    outputs = ReferenceEvaluator(model).run(None, inputs)
    return dict(zip(node.output, map(np.asarray, outputs), strict=True))
