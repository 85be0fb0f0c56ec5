"""Writing ONNX graphs."""

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class GraphBuilder:
    """Nodes and constants to put into an ONNX graph.

    Equal constants are kept once.

    Args:
        opset: the version of the standard operators.

    Attributes:
        prefix: what the names of new nodes begin with.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.prefix = ""
        self._constants: dict[tuple, str] = {}
        self._count = 0

    def constant(self, value: np.ndarray) -> str:
        """Return the name of a constant of this value and type."""
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._constants:
            self._constants[key] = f"constant_{len(self._constants)}"
            self.initializers.append(numpy_helper.from_array(value, self._constants[key]))
        return self._constants[key]

    def ints(self, *values: int) -> str:
        """Return the name of a constant vector of 64-bit integers."""
        return self.constant(np.array(values, np.int64))

    def floats(self, values: Any) -> str:
        """Return the name of a constant of 32-bit floats."""
        return self.constant(np.asarray(values, np.float32))

    def node(self, op_type: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node of one output, and return the output's name: the given one, or a new one."""
        label = self._label(op_type)
        output = name or f"{label}_output"
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=label, **attributes))
        return output

    def split_node(self, op_type: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node of several outputs, and return their names."""
        label = self._label(op_type)
        names = [f"{label}_output_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op_type, inputs, names, name=label, **attributes))
        return names

    def _label(self, op_type: str) -> str:
        self._count += 1
        return f"{self.prefix}/{op_type}_{self._count}"
