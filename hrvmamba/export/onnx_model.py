"""A network with DSS2D in it as an ONNX model of standard operators."""

import onnx
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

import hrvmamba
from hrvmamba.export import operators
from hrvmamba.export.folding import fold
from hrvmamba.export.graph import GraphBuilder
from hrvmamba.export.half import halve
from hrvmamba.export.tracing import DOMAIN, attributes, trace

OPSETS = range(17, 21)
"""From LayerNormalization's first to the exporter's last."""


def to_onnx(
    network: nn.Module,
    example: Tensor,
    input_name: str,
    output_name: str,
    opset: int = 17,
    half: bool = False,
) -> onnx.ModelProto:
    """Make an ONNX model of a network of one input and one output.

    Args:
        network: in evaluation mode, with 32-bit parameters, on the CPU.
        example: an input, of a batch of 2 or more; the model takes any batch of its size.
        input_name: what to call the input.
        output_name: what to call the output.
        opset: the version of the standard operators.
        half: 16-bit weights and activations; the input, the output, the sampling and the scan stay
            32-bit.

    Returns:
        The model, checked.

    Raises:
        ValueError: there is no exporting to that opset, the network is in training mode, or a
            weight is beyond 16 bits.
    """
    if opset not in OPSETS:
        raise ValueError(f"the opset must be from {OPSETS[0]} to {OPSETS[-1]}, got {opset}")
    if network.training:
        raise ValueError("the network must be in evaluation mode: call its eval()")
    model = trace(network, example, opset, input_name, output_name)
    fold(model)
    if half:
        halve(model)
    _write_out_operators(model, opset, half)
    model.producer_name, model.producer_version = "hrvmamba", hrvmamba.__version__
    onnx.checker.check_model(model, full_check=True)
    return model


def _write_out_operators(model: onnx.ModelProto, opset: int, half: bool) -> None:
    """Put standard operators in place of DSS2D's."""
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    builder = GraphBuilder(opset)
    for node in graph.node:
        node.ClearField("doc_string")
        if node.domain != DOMAIN:
            builder.nodes.append(node)
            continue
        builder.prefix = node.name
        options = attributes(node)
        *size, channels = options["shape"]
        arguments = list(node.input[:2])
        if half:
            arguments = [builder.node("Cast", name, to=TensorProto.FLOAT) for name in arguments]
        # The last node of an operator gives the result its name
        name = f"{node.output[0]}_float" if half else node.output[0]
        if node.op_type == "DeformSample":
            operators.deform_sample(
                builder, *arguments, name, size, channels, options["groups"], options["silu"]
            )
        else:
            weights = [numpy_helper.to_array(tensors[name]) for name in node.input[2:]]
            operators.selective_scan_2d(builder, *arguments, name, *weights, size)
        if half:
            builder.node("Cast", name, name=node.output[0], to=TensorProto.FLOAT16)
    used = {name for node in builder.nodes for name in node.input}
    initializers = [tensor for tensor in graph.initializer if tensor.name in used]
    opsets = [item for item in model.opset_import if item.domain != DOMAIN]
    del graph.node[:], graph.initializer[:], graph.value_info[:], model.opset_import[:]
    graph.node.extend(builder.nodes)
    graph.initializer.extend([*initializers, *builder.initializers])
    model.opset_import.extend(opsets)
