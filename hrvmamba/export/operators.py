"""The operators of DSS2D in standard ONNX operators, for maps of a fixed size and any batch.

Both compute in 32-bit floats, whatever the type of the graph around them: positions in a map of
96 rows, and states carried over 6912 steps, need it.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, parser

from hrvmamba.export.graph import GraphBuilder

POINTS = 9
COLUMNS = 3 * POINTS

FORWARD, REVERSE = 0, 1  # the values of Scan's directions


def deform_sample(
    graph: GraphBuilder,
    value: str,
    offset_mask: str,
    out: str,
    size: tuple[int, int],
    channels: int,
    groups: int,
    silu: bool,
) -> None:
    """Add :func:`hrvmamba.ops.deform_sample` to a graph, by GridSample.

    Args:
        graph: what to add it to.
        value: ``(B, H, W, D)``.
        offset_mask: ``(B, H, W, >= 27*groups)``.
        out: what to call the result, ``(B, H, W, D)``.
        size: (H, W).
        channels: D.
        groups: number of groups.
        silu: whether SiLU follows.
    """
    height, width = size
    tokens = height * width
    ints, node = graph.ints, graph.node

    used = node("Slice", offset_mask, ints(0), ints(groups * COLUMNS), ints(3))
    used = node("Reshape", used, ints(-1, tokens, groups, COLUMNS))
    used = node("Transpose", used, perm=[0, 2, 1, 3])
    used = node("Reshape", used, ints(-1, tokens, COLUMNS))
    offset, mask = graph.split_node("Split", used, ints(2 * POINTS, POINTS), axis=2, outputs=2)

    # GridSample (align_corners = 0) puts the centre of pixel i at (2i + 1)/size - 1.
    rows, columns = np.mgrid[:height, :width]
    position = np.stack((columns, rows), -1).reshape(tokens, 1, 2)
    steps = np.arange(-1, 2)
    point = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(1, POINTS, 2)
    extent = np.array([width, height], float)
    moved = node("Reshape", offset, ints(-1, tokens, POINTS, 2))
    moved = node("Mul", moved, graph.floats(2 / extent))
    grid = node("Add", moved, graph.floats((2 * (position + point) + 1) / extent - 1))

    maps = node("Reshape", value, ints(-1, height, width, groups, channels // groups))
    maps = node("Transpose", maps, perm=[0, 3, 4, 1, 2])
    maps = node("Reshape", maps, ints(-1, channels // groups, height, width))
    mode = "linear" if graph.opset >= 20 else "bilinear"
    samples = node("GridSample", maps, grid, mode=mode, padding_mode="zeros", align_corners=0)
    samples = node("Mul", samples, node("Unsqueeze", mask, ints(1)))
    total = node("ReduceSum", samples, ints(-1), keepdims=0)
    total = node("Reshape", total, ints(-1, channels, height, width))
    if not silu:
        node("Transpose", total, name=out, perm=[0, 2, 3, 1])
        return
    total = node("Transpose", total, perm=[0, 2, 3, 1])
    node("Mul", total, node("Sigmoid", total), name=out)


def selective_scan_2d(
    graph: GraphBuilder,
    u: str,
    ssm_params: str,
    out: str,
    dt_weight: np.ndarray,
    dt_bias: np.ndarray,
    A_log: np.ndarray,
    D: np.ndarray,
    size: tuple[int, int],
) -> None:
    """Add :func:`hrvmamba.ops.selective_scan_2d` to a graph, by Scans over rows and columns.

    The path through the rows is cut into rows, and one Scan walks along all of them at once: what
    each makes of a zero state. A Scan over the rows carries the state from one to the next, and a
    third walks along all rows again, each from the state that enters it. The columns likewise, and
    the two senses of a path together. Only products of decays in (0, 1] are formed, so nothing
    overflows.

    Args:
        graph: what to add it to.
        u: ``(B, H, W, D)``.
        ssm_params: ``(B, H, W, 4, R + 2)``.
        out: what to call the result, ``(B, H, W, D)``.
        dt_weight: ``(4, D, R)``.
        dt_bias: ``(4, D)``.
        A_log: ``(4, D, 1)``.
        D: ``(4, D)``.
        size: (H, W).

    Raises:
        ValueError: there is more than one state.
    """
    if A_log.shape[-1] != 1:
        raise ValueError(f"A_log must have one state to be exported, got {A_log.shape[-1]}")
    height, width = size
    channels, dt_rank = dt_weight.shape[1:]
    node, ints = graph.node, graph.ints
    A = -np.exp(A_log[..., 0].astype(np.float64))

    # Scan needs its initial states whole, so the batch is read off u.
    batch = node("Shape", u, start=0, end=1)

    def zeros(*sizes: int) -> str:
        """A state of shape (*sizes, B, D)."""
        shape = node("Concat", *(ints(n) for n in sizes), batch, ints(channels), axis=0)
        value = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.0])
        return node("ConstantOfShape", shape, value=value)

    parts = [node("Mul", u, graph.floats(D.astype(np.float64).sum(0)))]
    for path, (lines, order, back) in enumerate(
        # The lines of a path, the layout (steps along a line, lines, B, channels), and its inverse
        ((height, [2, 1, 0, 3], [2, 1, 0, 3]), (width, [1, 2, 0, 3], [2, 0, 1, 3]))
    ):
        u_lines = node("Transpose", u, perm=order)
        decays, inflows, outflows, products = [], [], [], []
        for k in (path, path + 2):  # along the path, and against it
            params = node("Gather", ssm_params, graph.constant(np.array(k)), axis=3)
            params = node("Transpose", params, perm=order)
            dt_low, B, C = graph.split_node("Split", params, ints(dt_rank, 1, 1), axis=3, outputs=3)
            dt = node("MatMul", dt_low, graph.floats(dt_weight[k].T))
            dt = _softplus(graph, node("Add", dt, graph.floats(dt_bias[k])))
            decays.append(node("Exp", node("Mul", dt, graph.floats(A[k]))))
            inflows.append(node("Mul", node("Mul", dt, u_lines), B))
            outflows.append(C)
            along = node("ReduceSum", dt, ints(0), keepdims=0)
            products.append(node("Exp", node("Mul", along, graph.floats(A[k]))))

        zero = zeros(lines)
        ends = _scan(graph, _END, [zero, zero], decays, inflows)
        zero = zeros()
        *_, first, last = _scan(graph, _CARRY, [zero, zero], products, ends)
        *_, along, against = _scan(graph, _WALK, [first, last], decays, inflows, outflows)
        parts.append(node("Transpose", node("Add", along, against), perm=back))
    node("Sum", *parts, name=out)


def _softplus(graph: GraphBuilder, x: str) -> str:
    """Softplus to a few units in the last place; onnxruntime's own is several times slower."""
    node, one = graph.node, graph.floats(1)
    t = node("Exp", node("Neg", node("Abs", x)))
    y = node("Add", t, one)
    lost = node("Sub", t, node("Sub", y, one))  # of t, when y was rounded
    log1p = node("Add", node("Log", y), node("Div", lost, y))
    return node("Add", node("Relu", x), log1p)


def _scan(
    graph: GraphBuilder, body: onnx.GraphProto, states: list[str], *inputs: list[str]
) -> list[str]:
    """Scan along a path and against it at once.

    Args:
        graph: what to add the Scan to.
        body: what takes both states one step further.
        states: the states to start from, along the path and against it.
        inputs: pairs of inputs, along and against.

    Returns:
        The last states, and what the body gives out at each step.
    """
    along, against = zip(*inputs, strict=True)
    directions = [FORWARD] * len(along) + [REVERSE] * len(against)
    outputs = len(body.output) - len(states)
    return graph.split_node(
        "Scan",
        *states,
        *along,
        *against,
        outputs=len(body.output),
        body=body,
        num_scan_inputs=len(directions),
        scan_input_directions=directions,
        **({"scan_output_directions": [FORWARD, REVERSE]} if outputs else {}),
    )


# The bodies of the Scans: h goes along the path, g against it, each with its own decay a and inflow
# b, and where asked for outflow c.

_END = parser.parse_graph("""
end (float[] h, float[] g, float[] a_h, float[] b_h, float[] a_g, float[] b_g)
=> (float[] next_h, float[] next_g)
{
    kept_h = Mul(h, a_h)
    next_h = Add(kept_h, b_h)
    kept_g = Mul(g, a_g)
    next_g = Add(kept_g, b_g)
}
""")

_CARRY = parser.parse_graph("""
carry (float[] h, float[] g, float[] a_h, float[] b_h, float[] a_g, float[] b_g)
=> (float[] next_h, float[] next_g, float[] entering_h, float[] entering_g)
{
    entering_h = Identity(h)
    kept_h = Mul(h, a_h)
    next_h = Add(kept_h, b_h)
    entering_g = Identity(g)
    kept_g = Mul(g, a_g)
    next_g = Add(kept_g, b_g)
}
""")

_WALK = parser.parse_graph("""
walk (float[] h, float[] g,
      float[] a_h, float[] b_h, float[] c_h, float[] a_g, float[] b_g, float[] c_g)
=> (float[] next_h, float[] next_g, float[] y_h, float[] y_g)
{
    kept_h = Mul(h, a_h)
    next_h = Add(kept_h, b_h)
    y_h = Mul(next_h, c_h)
    kept_g = Mul(g, a_g)
    next_g = Add(kept_g, b_g)
    y_g = Mul(next_g, c_g)
}
""")
