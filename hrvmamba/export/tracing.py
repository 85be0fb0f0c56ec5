"""Tracing a network into an ONNX graph in which each operator of DSS2D is one node."""

import contextlib
import inspect
import io
import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.onnx.errors import OnnxExporterError

from hrvmamba.analysis.timing import first_line
from hrvmamba.layers import dss2d, ss2d
from hrvmamba.ops import deform_sample, selective_scan_2d

DOMAIN = "hrvmamba"
"""The domain of the operators' nodes."""


def trace(
    network: nn.Module, example: Tensor, opset: int, input_name: str, output_name: str
) -> onnx.ModelProto:
    """Trace a network of one input and one output, for any batch of the example's size.

    This is PyTorch's tracing exporter. It is in every PyTorch from 2.4 to 2.15, needs no package
    besides onnx, and takes a tenth of the time that the one on torch.export takes.

    Args:
        network: in evaluation mode.
        example: an input, of a batch of 2 or more.
        opset: the version of the standard operators.
        input_name: what to call the input.
        output_name: what to call the output.

    Returns:
        The model. Its nodes ``DeformSample`` and ``SelectiveScan2D`` have the attributes that
        :mod:`hrvmamba.export.operators` takes, and their outputs are in its value_info.

    Raises:
        ValueError: the network has an operator that ONNX has no counterpart of.
    """
    file = io.BytesIO()
    options: dict[str, Any] = {}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        options["dynamo"] = False
    with warnings.catch_warnings(), _one_node_each(), torch.no_grad():
        warnings.simplefilter("ignore")  # the sizes are meant to be constant
        try:
            torch.onnx.export(
                network,
                (example,),
                file,
                opset_version=opset,
                input_names=[input_name],
                output_names=[output_name],
                dynamic_axes={name: {0: "batch"} for name in (input_name, output_name)},
                custom_opsets={DOMAIN: 1},
                **options,
            )
        except OnnxExporterError as error:
            raise ValueError(f"there is no exporting this network: {first_line(error)}") from error
    model = onnx.load_from_string(file.getvalue())
    del model.graph.value_info[:]
    for node in model.graph.node:
        if node.domain == DOMAIN:
            height, width, channels = attributes(node)["shape"]
            shape = ["batch", height, width, channels]
            model.graph.value_info.append(
                helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, shape)
            )
    return model


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node."""
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


@contextlib.contextmanager
def _one_node_each() -> Iterator[None]:
    """Make DSS2D run its operators as functions of which the tracer sees the call alone."""
    dss2d.deform_sample, ss2d.selective_scan_2d = _deform_sample, _selective_scan_2d
    try:
        yield
    finally:
        dss2d.deform_sample, ss2d.selective_scan_2d = deform_sample, selective_scan_2d


def _deform_sample(
    value: Tensor, offset_mask: Tensor, groups: int, activation: str | None
) -> Tensor:
    return _DeformSample.apply(value, offset_mask, groups, activation, _map_shape(value))


def _selective_scan_2d(u: Tensor, *arguments: Tensor) -> Tensor:
    return _SelectiveScan2d.apply(u, *arguments, _map_shape(u))


def _map_shape(x: Tensor) -> tuple[int, ...]:
    return tuple(int(size) for size in x.shape[1:])


class _DeformSample(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        value: Tensor,
        offset_mask: Tensor,
        groups: int,
        activation: str | None,
        shape: tuple[int, ...],
    ) -> Tensor:
        return torch.zeros_like(value)  # the tracer wants its shape alone

    @staticmethod
    def symbolic(
        g: Any, value: Any, offset_mask: Any, groups: int, activation: str | None, shape: tuple
    ) -> Any:
        node = g.op(
            f"{DOMAIN}::DeformSample",
            value,
            offset_mask,
            shape_i=shape,
            groups_i=groups,
            silu_i=activation == "silu",
        )
        return node.setType(value.type())


class _SelectiveScan2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, *arguments: Any) -> Tensor:
        return torch.zeros_like(u)

    @staticmethod
    def symbolic(g: Any, u: Any, *arguments: Any) -> Any:
        *tensors, shape = arguments
        node = g.op(f"{DOMAIN}::SelectiveScan2D", u, *tensors, shape_i=shape)
        return node.setType(u.type())
