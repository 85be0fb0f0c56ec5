"""The compiled CUDA ops against the float64 reference on the CPU, and in mixed precision."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from hrvmamba.models import HRVMamba
from hrvmamba.ops import backend
from hrvmamba.ops.backend import NATIVE_DEVICES
from hrvmamba.ops.deform_sample import deform_sample_reference
from hrvmamba.ops.selective_scan_2d import selective_scan_2d_reference

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

# The shapes and inputs of the CPU kernels' tests
_spec = importlib.util.spec_from_file_location(
    "registrations_on_a_cpu", Path(__file__).with_name("test_registrations.py")
)
registrations = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(registrations)

SHAPES = registrations.SHAPES
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Of the largest value. Results and gradients are rounded to the type: by 2^-24, 2^-11 or 2^-8.
TOLERANCES = {torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 1.5e-2}


@pytest.fixture
def native():
    """Run the compiled CUDA kernels; skip where they are not built."""
    if "cuda" not in NATIVE_DEVICES:
        pytest.skip("needs the compiled CUDA kernels")
    with backend("native"):
        yield


@pytest.fixture
def deterministic_mode():
    """Set PyTorch's deterministic mode as asked, until the test's end."""
    before = torch.are_deterministic_algorithms_enabled()
    yield torch.use_deterministic_algorithms
    torch.use_deterministic_algorithms(before)


def scan_inputs(shape, dtype=torch.float32, **options):
    """Activations of a type; the parameters stay in float32, as under autocast."""
    u, params, *weights = registrations.scan_inputs(*shape, **options)
    return (u.to(dtype), params.to(dtype), *weights)


def sample_inputs(shape, dtype=torch.float32, spread=1.0):
    *size, channels, groups = shape
    groups = groups if channels % groups == 0 else 1
    value, offset_mask, *others = registrations.sample_inputs(
        *size, channels, groups, spread=spread
    )
    return (value.to(dtype), offset_mask.to(dtype), *others)


def silu_of_sample(value, offset_mask, groups, silu):
    return nn.functional.silu(deform_sample_reference(value, offset_mask, groups))


def to(arguments, **where):
    return [x.detach().to(**where) if isinstance(x, torch.Tensor) else x for x in arguments]


def assert_as_float64_on_the_cpu(op, reference, arguments, tolerance):
    """Results and gradients, each to a share of its largest value."""
    grad = torch.randn_like(arguments[0])
    got = registrations.gradients(op, to(arguments, device="cuda"), grad.cuda())
    expected = registrations.gradients(reference, to(arguments, dtype=torch.float64), grad.double())
    for number, (one, wanted) in enumerate(zip(got, expected, strict=True)):
        error = (one.cpu() - wanted).abs().max()
        assert error <= tolerance * wanted.abs().max() + 1e-30, (number, error, wanted.abs().max())


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("shift", [-12.0, 0.0, 12.0], ids=["tiny dt", "usual dt", "huge dt"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scan(shape, dtype, shift):
    assert_as_float64_on_the_cpu(
        torch.ops.hrvmamba.selective_scan_2d,
        selective_scan_2d_reference,
        scan_inputs(shape, dtype, shift=shift),
        TOLERANCES[dtype],
    )


@pytest.mark.usefixtures("native")
def test_scan_with_several_states():
    assert_as_float64_on_the_cpu(
        torch.ops.hrvmamba.selective_scan_2d,
        selective_scan_2d_reference,
        scan_inputs((2, 5, 7, 40, 3), d_state=4),
        TOLERANCES[torch.float32],
    )


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize(
    ("dtype", "spread"),
    # Far offsets in bfloat16 are whole pixels, where the slope jumps.
    [*((dtype, 1.0) for dtype in DTYPES), (torch.float32, 20.0), (torch.float16, 20.0)],
    ids=str,
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sample(shape, dtype, spread):
    assert_as_float64_on_the_cpu(
        torch.ops.hrvmamba.deform_sample,
        silu_of_sample,
        sample_inputs(shape, dtype, spread),
        TOLERANCES[dtype],
    )


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("shape", [(2, 16, 12, 64, 4), (3, 9, 12, 160, 10)], ids=str)
def test_the_same_bits_again(shape, deterministic, deterministic_mode):
    """But for deform_sample's gradients, which need deterministic mode for it."""
    deterministic_mode(deterministic)
    scan = to(scan_inputs(shape), device="cuda")
    sample = to(sample_inputs(shape), device="cuda")
    grad = torch.randn_like(scan[0])
    runs = []
    for _ in range(5):
        scanned = registrations.gradients(torch.ops.hrvmamba.selective_scan_2d, scan, grad)
        sampled = registrations.gradients(torch.ops.hrvmamba.deform_sample, sample, grad)
        runs.append((*scanned, *(sampled if deterministic else sampled[:1])))
    for other in runs[1:]:
        assert all(map(torch.equal, runs[0], other))


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("name", ["deform_sample", "selective_scan_2d"])
def test_opcheck(name):
    make = scan_inputs if name == "selective_scan_2d" else sample_inputs
    arguments = to(make((2, 3, 4, 12, 2)), device="cuda")
    for tensor in arguments:
        if isinstance(tensor, torch.Tensor):
            tensor.requires_grad_()
    torch.library.opcheck(getattr(torch.ops.hrvmamba, name).default, arguments)


# Training

STEPS = 200
WINDOW = 20  # steps whose losses are averaged


def train(device, dtype=None, steps=STEPS):
    """Losses of Tiny regressing fixed heatmaps from fixed small images, under autocast to a type.

    Returns:
        The mean losses of successive windows.
    """
    torch.manual_seed(0)
    images = torch.randn(8, 3, 64, 48)
    heatmaps = torch.rand(8, 17, 16, 12)
    model = nn.ModuleDict(
        {"backbone": HRVMamba("tiny", drop_path_rate=0.0), "head": nn.Conv2d(16, 17, 1)}
    )
    model, images, heatmaps = (x.to(device) for x in (model, images, heatmaps))
    optimizer = torch.optim.AdamW(model.parameters(), 5e-4)
    scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)
    losses = []
    for step in range(steps):
        chosen = slice(4 * (step % 2), 4 * (step % 2) + 4)
        with torch.autocast(device, dtype, enabled=dtype is not None):
            out = model["head"](model["backbone"](images[chosen])[0])
        loss = nn.functional.mse_loss(out.float(), heatmaps[chosen])
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.detach())
    return torch.stack(losses).cpu().view(-1, WINDOW).mean(1)


@pytest.mark.slow
@pytest.mark.usefixtures("native")
def test_training_in_half_types_follows_float32():
    expected = train("cuda")
    assert expected[-1] < 0.75 * expected[0]  # it learns
    for dtype in (torch.float16, torch.bfloat16):
        losses = train("cuda", dtype)
        assert losses.isfinite().all()
        torch.testing.assert_close(losses, expected, rtol=0.1, atol=0.0)
