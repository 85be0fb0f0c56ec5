import itertools
import sys

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from hrvmamba.ops import backend, selective_scan_2d
from hrvmamba.ops.selective_scan_2d import _softplus

# The package's attribute of that name is the function.
selective_scan_2d_module = sys.modules["hrvmamba.ops.selective_scan_2d"]

pytestmark = pytest.mark.usefixtures("each_backend")


def sample_inputs(batch, height, width, channels, dt_rank=1, d_state=1, dtype=torch.float64):
    def normal(*shape):
        return torch.randn(*shape, dtype=dtype).requires_grad_()

    return (
        normal(batch, height, width, channels),
        normal(batch, height, width, 4, dt_rank + 2 * d_state),
        normal(4, channels, dt_rank),
        normal(4, channels),
        normal(4, channels, d_state),
        normal(4, channels),
    )


def step_by_step(u, ssm_params, dt_weight, dt_bias, A_log, D):
    """The recurrence of the paper, one token of one direction at a time."""
    _, height, width, _ = u.shape
    dt_rank, d_state = dt_weight.shape[-1], A_log.shape[-1]
    rows = [(y, x) for y in range(height) for x in range(width)]
    columns = [(y, x) for x in range(width) for y in range(height)]
    out = torch.zeros_like(u)
    for k, path in enumerate((rows, columns, rows[::-1], columns[::-1])):
        h = u.new_zeros(u.shape[0], u.shape[-1], d_state)
        for y, x in path:
            dt_low, B, C = ssm_params[:, y, x, k].split((dt_rank, d_state, d_state), -1)
            dt = F.softplus(dt_low @ dt_weight[k].T + dt_bias[k]).unsqueeze(-1)
            token = u[:, y, x]
            h = torch.exp(dt * -torch.exp(A_log[k])) * h + dt * B[:, None] * token[..., None]
            out[:, y, x] += (h * C[:, None]).sum(-1) + D[k] * token
    return out


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1, 2),
        (2, 3, 5, 4, 2),
        (3, 1, 7, 2),
        (1, 12, 4, 5, 3, 2),
        (1, 17, 16, 2),
        (2, 9, 12, 3),
    ],
    ids=str,
)
def test_equals_the_steps(shape):
    arguments = sample_inputs(*shape)
    torch.testing.assert_close(selective_scan_2d(*arguments), step_by_step(*arguments))


@pytest.mark.parametrize("shape", [(2, 2, 3, 3, 2), (1, 5, 4, 2, 1, 2), (1, 1, 18, 2)], ids=str)
def test_gradients(shape):
    assert gradcheck(selective_scan_2d, sample_inputs(*shape))


def test_the_batch_may_be_cut_into_slices(monkeypatch):
    """More samples than are computed at once: same results and gradients."""
    arguments = sample_inputs(5, 4, 3, 2, 2)
    results = []
    for numel in (2**19, 2 * 4 * 12 * 2, 1):  # all five samples, two, and one at a time
        monkeypatch.setattr(selective_scan_2d_module, "_SLICE_NUMEL", numel)
        with backend("reference"):
            y = selective_scan_2d(*arguments)
        results.append((y, torch.autograd.grad(y.square().sum(), arguments)))
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])


@pytest.mark.parametrize("dt_shift", [-12.0, 0.0, 12.0], ids=["tiny dt", "usual dt", "huge dt"])
def test_float32_at_the_longest_sequence(dt_shift):
    """L = 27,648, of a 768 x 576 input, against float64."""
    arguments = sample_inputs(1, 192, 144, 2, dtype=torch.float32)
    with torch.no_grad():
        arguments[3].add_(dt_shift)
    out = selective_scan_2d(*arguments)
    doubles = [argument.detach().double().requires_grad_() for argument in arguments]
    with backend("reference"):
        expected = selective_scan_2d(*doubles)
    grads = torch.autograd.grad(out.sum(), arguments)
    expected_grads = torch.autograd.grad(expected.sum(), doubles)
    for got, wanted in zip((out, *grads), (expected, *expected_grads), strict=True):
        assert (got - wanted).abs().max() <= 1e-4 * wanted.abs().max()


def test_backward_keeps_the_arguments_alone():
    """What is kept for backward is no more than was given, whatever the number of directions."""
    arguments = sample_inputs(2, 16, 12, 8, 2)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        selective_scan_2d(*arguments)
    assert sum(kept) <= sum(argument.numel() for argument in arguments)


def test_second_derivatives_are_refused():
    arguments = sample_inputs(1, 2, 2, 2)
    (grad,) = torch.autograd.grad(
        selective_scan_2d(*arguments).square().sum(), arguments[:1], create_graph=True
    )
    with pytest.raises(RuntimeError, match=r"once_differentiable|no second derivative"):
        grad.sum().backward()


def test_strided_arguments():
    arguments = sample_inputs(2, 4, 5, 4, 2)
    expected = selective_scan_2d(*arguments)
    u = arguments[0].permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    params = torch.cat(arguments[1:2] * 2, -1)[..., : arguments[1].shape[-1]]
    torch.testing.assert_close(selective_scan_2d(u, params, *arguments[2:]), expected)


def test_empty_batch():
    arguments = sample_inputs(0, 4, 5, 4)
    out = selective_scan_2d(*arguments)
    assert out.shape == (0, 4, 5, 4)
    out.sum().backward()
    assert all(torch.equal(tensor.grad, torch.zeros_like(tensor)) for tensor in arguments)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_accumulate_in_float32(dtype):
    """Also under autocast, where parameters stay float32."""
    arguments = sample_inputs(1, 20, 15, 4, 2, dtype=torch.float32)
    u, params = (argument.detach().to(dtype) for argument in arguments[:2])
    with torch.autocast("cpu", torch.bfloat16):
        out = selective_scan_2d(u, params, *arguments[2:])
    assert out.dtype == dtype
    expected = selective_scan_2d(u.float(), params.float(), *arguments[2:])
    assert torch.equal(out, expected.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softplus(dtype):
    x = torch.cat((torch.linspace(-80, 80, 4001), torch.tensor([0.0, torch.inf, -torch.inf])))
    expected = F.softplus(x.double(), threshold=700)
    error = (_softplus(x.to(dtype)).double() - expected).abs()
    assert (error[:-2] <= 4 * torch.finfo(dtype).eps * expected[:-2]).all()
    assert _softplus(x.to(dtype))[-2:].tolist() == [torch.inf, 0]


NAMES = ("u", "ssm_params", "dt_weight", "dt_bias", "A_log", "D")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("u", (2, 3, 4), r"u must have shape \(B, H, W, D\), got \(2, 3, 4\)"),
        ("ssm_params", (2, 3, 5, 4, 4), r"R \+ 2N = 3\), got \(2, 3, 5, 4, 4\)"),
        ("ssm_params", (2, 5, 3, 4, 3), r"\(B = 2, H = 3, W = 5, 4, .*got \(2, 5, 3, 4, 3\)"),
        ("dt_weight", (3, 4, 1), r"dt_weight must have shape \(4, D = 4, R\), got \(3, 4, 1\)"),
        ("dt_bias", (4, 5), r"dt_bias must have shape \(4, D = 4\), got \(4, 5\)"),
        ("A_log", (16, 1), r"A_log must have shape \(4, D = 4, N\), got \(16, 1\)"),
        ("D", (4, 1), r"D must have shape \(4, D = 4\), got \(4, 1\)"),
    ],
)
def test_refuses_shapes(name, shape, message):
    arguments = dict(zip(NAMES, sample_inputs(2, 3, 5, 4), strict=True))
    with pytest.raises(ValueError, match=message):
        selective_scan_2d(**{**arguments, name: torch.zeros(shape)})


@pytest.mark.parametrize("name", NAMES)
def test_refuses_types_and_devices(name):
    arguments = dict(zip(NAMES, sample_inputs(2, 3, 5, 4), strict=True))
    with pytest.raises(TypeError, match=f"{name} must be one of float16.*got torch.int64"):
        selective_scan_2d(**{**arguments, name: arguments[name].long()})
    with pytest.raises(ValueError, match=f"one device.*{name} on meta"):
        selective_scan_2d(**{**arguments, name: arguments[name].to("meta")})


def test_directions_differ():
    """Each direction has a path of its own: no two give the same result."""
    arguments = [tensor.detach() for tensor in sample_inputs(1, 3, 4, 2)]
    weights = arguments[2:]
    for weight in weights:  # the same parameters for all directions, so that paths alone differ
        weight[:] = weight[:1]
    arguments[1][:] = arguments[1][..., :1, :]
    outs = []
    for k in range(4):
        alone = arguments[1].clone()
        for other in set(range(4)) - {k}:
            alone[..., other, -1] = 0  # C = 0: the direction adds its skip alone
        outs.append(selective_scan_2d(arguments[0], alone, *weights))
    assert all(not torch.allclose(a, b) for a, b in itertools.combinations(outs, 2))
