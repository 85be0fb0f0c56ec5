"""The compiled operators against the reference in float64, and in torch's own checks."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hrvmamba.ops import deform_sample, selective_scan_2d
from hrvmamba.ops.deform_sample import deform_sample_reference
from hrvmamba.ops.selective_scan_2d import selective_scan_2d_reference

pytestmark = pytest.mark.usefixtures("native")


def scan_inputs(batch, height, width, channels, dt_rank, d_state=1, dtype=torch.float32, shift=0):
    def normal(*shape):
        return torch.randn(*shape, dtype=dtype)

    return (
        normal(batch, height, width, channels),
        normal(batch, height, width, 4, dt_rank + 2 * d_state),
        normal(4, channels, dt_rank) * dt_rank**-0.5,
        normal(4, channels) + shift,
        normal(4, channels, d_state) * 0.3,
        normal(4, channels),
    )


def sample_inputs(batch, height, width, channels, groups, dtype=torch.float32, spread=1.0):
    """Offsets keep away from whole pixels, where the slope of the bilinear kernel jumps."""
    columns = -(-27 * groups // 8) * 8
    value = torch.randn(batch, height, width, channels, dtype=dtype)
    offset_mask = torch.randn(batch, height, width, columns, dtype=dtype) * spread
    offset_mask = offset_mask.floor() + 0.1 + 0.8 * torch.rand_like(offset_mask)
    return value, offset_mask, groups, True


def gradients(function, arguments, grad):
    leaves = [x.requires_grad_() if isinstance(x, torch.Tensor) else x for x in arguments]
    out = function(*leaves)
    tensors = [x for x in leaves if isinstance(x, torch.Tensor)]
    return out.detach(), *torch.autograd.grad(out, tensors, grad.to(out.dtype))


def assert_as_float64(function, reference, arguments, tolerance=2e-5):
    """Results and gradients, as a share of the largest of each."""
    grad = torch.randn_like(arguments[0])
    doubles = [x.double() if isinstance(x, torch.Tensor) else x for x in arguments]
    expected = gradients(reference, doubles, grad)
    for got, wanted in zip(gradients(function, arguments, grad), expected, strict=True):
        error = (got - wanted).abs().max()
        assert error <= tolerance * wanted.abs().max() + 1e-30, (error, wanted.abs().max())


def silu_of_sample(value, offset_mask, groups, silu):
    return torch.nn.functional.silu(deform_sample_reference(value, offset_mask, groups))


# L in {1, 7, 48, 108, 192, 3072, 6912}, H != W; D of whole vectors, parts of one, and both
SHAPES = [
    (1, 1, 1, 16, 1),
    (3, 1, 7, 32, 2),
    (3, 7, 1, 19, 3),
    (1, 8, 6, 640, 40),
    (3, 9, 12, 160, 10),
    (2, 16, 12, 64, 4),
    (1, 64, 48, 32, 2),
    (1, 96, 72, 20, 1),
]


@pytest.mark.parametrize("shift", [-12.0, 0.0, 12.0], ids=["tiny dt", "usual dt", "huge dt"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scan(shape, shift):
    arguments = scan_inputs(*shape, shift=shift)
    assert_as_float64(torch.ops.hrvmamba.selective_scan_2d, selective_scan_2d_reference, arguments)


def test_scan_with_several_states():
    arguments = scan_inputs(2, 5, 7, 40, 3, d_state=4)
    assert_as_float64(torch.ops.hrvmamba.selective_scan_2d, selective_scan_2d_reference, arguments)


@pytest.mark.parametrize("spread", [1.0, 20.0], ids=["near", "far outside"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sample(shape, spread):
    *shape, groups = shape
    arguments = sample_inputs(*shape, groups if shape[-1] % groups == 0 else 1, spread=spread)
    # float32 leaves a point at column 64 a fraction of 18 bits.
    assert_as_float64(torch.ops.hrvmamba.deform_sample, silu_of_sample, arguments, 1e-4)


def test_nan_is_not_hidden():
    arguments = scan_inputs(1, 2, 3, 16, 1)
    arguments[1][0, 1, 1, 0] = float("nan")
    assert torch.ops.hrvmamba.selective_scan_2d(*arguments)[0, 1].isnan().any()


@pytest.mark.parametrize("batch", [1, 3])
def test_the_number_of_threads_changes_no_bit(batch):
    scan, sample = scan_inputs(batch, 12, 9, 80, 5), sample_inputs(batch, 12, 9, 80, 5)
    one_group = sample_inputs(batch, 12, 9, 80, 1)  # its tokens are cut into parts
    grad = torch.randn_like(scan[0])
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2, 7, 16):  # 3 blocks of channels a sample: some run out of tasks
            torch.set_num_threads(number)
            results.append(
                (
                    *gradients(torch.ops.hrvmamba.selective_scan_2d, scan, grad),
                    *gradients(torch.ops.hrvmamba.deform_sample, sample, grad),
                    *gradients(torch.ops.hrvmamba.deform_sample, one_group, grad),
                )
            )
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


class RecordDeterministic(TorchDispatchMode):
    """Keeps what deform_sample_backward is told of determinism."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.hrvmamba.deform_sample_backward.default:
            self.deterministic = args[-1]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("deterministic", [False, True])
def test_the_kernel_is_told_to_be_deterministic(deterministic):
    value, offset_mask, groups, silu = sample_inputs(1, 2, 3, 4, 1)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(deterministic)
    try:
        with RecordDeterministic() as record:
            out = torch.ops.hrvmamba.deform_sample(
                value.requires_grad_(), offset_mask, groups, silu
            )
            out.sum().backward()
    finally:
        torch.use_deterministic_algorithms(before)
    assert record.deterministic is deterministic


@pytest.mark.parametrize("batch", [0, 2])
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("name", ["deform_sample", "selective_scan_2d"])
def test_opcheck(name, requires_grad, batch):
    make = scan_inputs if name == "selective_scan_2d" else sample_inputs
    arguments = make(batch, 3, 4, 12, 2, dtype=torch.float64)
    for tensor in arguments:
        if isinstance(tensor, torch.Tensor):
            tensor.requires_grad_(requires_grad)
    torch.library.opcheck(getattr(torch.ops.hrvmamba, name).default, arguments)
    if not requires_grad:
        arguments = (torch.randn_like(arguments[0]), *arguments)
        if name == "deform_sample":
            arguments = (*arguments, False)  # deterministic
        torch.library.opcheck(getattr(torch.ops.hrvmamba, f"{name}_backward").default, arguments)


@pytest.mark.parametrize("name", ["deform_sample", "selective_scan_2d"])
def test_second_derivatives_are_refused(name):
    make = scan_inputs if name == "selective_scan_2d" else sample_inputs
    arguments = make(1, 2, 3, 4, 1)
    first = arguments[0].requires_grad_()
    out = getattr(torch.ops.hrvmamba, name)(*arguments)
    (grad,) = torch.autograd.grad(out.square().sum(), first, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        grad.sum().backward()


def sample_silu(value, offset_mask):
    return deform_sample(value, offset_mask, 2, activation="silu")


PUBLIC = {
    "deform_sample": (sample_silu, lambda: sample_inputs(2, 3, 4, 12, 2)[:2]),
    "selective_scan_2d": (selective_scan_2d, lambda: scan_inputs(2, 3, 4, 12, 2)),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_compiles_to_one_graph(name):
    function, make = PUBLIC[name]
    arguments = make()
    grad = torch.randn_like(arguments[0])
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    got, wanted = gradients(compiled, arguments, grad), gradients(function, arguments, grad)
    assert all(map(torch.equal, got, wanted))


class Apply(torch.nn.Module):
    """A function as what torch.export takes."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, arguments):
        return self.function(*arguments)


@pytest.mark.parametrize("name", PUBLIC)
def test_exports_with_free_sizes(name):
    function, make = PUBLIC[name]
    arguments = make()
    maps, weights = arguments[:2], arguments[2:]
    free = dict.fromkeys(range(3), torch.export.Dim.DYNAMIC)  # batch, height, width
    shapes = ((free, free, *[None] * len(weights)),)
    exported = torch.export.export(
        Apply(function), ((*maps, *weights),), dynamic_shapes=shapes
    ).module()
    larger = [torch.randn(3, 5, 7, *x.shape[3:]) for x in maps]
    expected = function(*larger, *weights)
    assert torch.equal(exported((*larger, *weights)), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", PUBLIC)
def test_autocast(name, dtype):
    """Half maps with float32 weights: results in the map's type, as near float32 as it allows."""
    function, make = PUBLIC[name]
    first, second, *weights = make()
    half = (first.to(dtype), second.to(dtype), *weights)
    grad = torch.randn_like(first).to(dtype)
    with torch.autocast("cpu", dtype):
        got = gradients(function, half, grad)
    wanted = gradients(function, [x.detach().float() for x in half], grad)
    assert [x.dtype for x in got] == [dtype] * 3 + [torch.float32] * len(weights)
    for x, y in zip(got, wanted, strict=True):
        step = torch.finfo(x.dtype).eps
        assert (x - y).abs().max() <= step * y.abs().max()


def test_memory_is_guarded():
    """Shapes that do not fit are refused below the Python checks too."""
    u, ssm_params, *weights = scan_inputs(1, 3, 4, 8, 1)
    with pytest.raises(RuntimeError, match="ssm_params does not have the shape"):
        torch.ops.hrvmamba.selective_scan_2d(u, ssm_params[:, :2], *weights)
    value, offset_mask, groups, silu = sample_inputs(1, 3, 4, 8, 2)
    with pytest.raises(RuntimeError, match="offset_mask has too few columns"):
        torch.ops.hrvmamba.deform_sample(value, offset_mask[..., :53], groups, silu)
    with pytest.raises(RuntimeError, match="groups must divide"):
        torch.ops.hrvmamba.deform_sample(value, offset_mask, 3, silu)
