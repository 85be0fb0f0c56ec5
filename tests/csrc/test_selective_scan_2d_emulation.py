"""The scan's CUDA kernels, run on the host: their results, and their barriers."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hrvmamba.ops.selective_scan_2d import selective_scan_2d_reference

SOURCE = Path(__file__).with_name("selective_scan_2d_emulation.cpp")
NAMES = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
COMPILER = next((path for name in NAMES if (path := shutil.which(name))), None)

H100 = (132, 232448)  # processors, and bytes of shared memory for a block
ONE_PROCESSOR = (1, 232448)  # a block walks all directions
LITTLE_MEMORY = (1, 12000)  # no room for the sums in shared memory

# Sizes are batch, height, width, channels, dt_rank and d_state.
CASES = [
    ((1, 1, 1, 16, 1, 1), ONE_PROCESSOR),
    ((3, 1, 7, 32, 2, 1), ONE_PROCESSOR),
    ((2, 5, 7, 40, 3, 1), ONE_PROCESSOR),
    ((2, 5, 7, 40, 3, 1), H100),
    ((2, 5, 7, 40, 3, 1), LITTLE_MEMORY),
    ((1, 12, 9, 96, 5, 1), ONE_PROCESSOR),
    ((1, 16, 12, 64, 17, 1), ONE_PROCESSOR),
    ((2, 9, 5, 7, 6, 1), ONE_PROCESSOR),
    ((2, 9, 5, 7, 6, 1), H100),
    ((1, 6, 5, 24, 2, 3), ONE_PROCESSOR),
    ((1, 7, 9, 18, 7, 2), H100),
    ((1, 3, 2, 16, 40, 1), ONE_PROCESSOR),
]
TYPES = [torch.float32, torch.float16, torch.bfloat16]  # ElementType's
LONG = (1, 29, 31, 16, 2, 1)  # blocks take it in several steps


def compile_library(csrc: Path, target: Path, *flags: str) -> Path:
    """Build the kernels in `csrc` for the host, as a library."""
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    options = ["-std=c++17", "-O1", "-g", "-fPIC", "-pthread", "-Wno-unknown-pragmas", "-shared"]
    done = subprocess.run(
        [COMPILER, *options, *flags, f"-I{csrc}/cuda", str(SOURCE), "-o", str(target)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def library(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("emulation")
    return ctypes.CDLL(str(compile_library(repository / "csrc", folder / "scan.so")))


def make_arguments(sizes: tuple[int, ...]) -> list[Tensor]:
    batch, height, width, channels, dt_rank, d_state = sizes
    return [
        torch.randn(batch, height, width, channels),
        torch.randn(batch, height, width, 4, dt_rank + 2 * d_state),
        torch.randn(4, channels, dt_rank) * dt_rank**-0.5,
        torch.randn(4, channels) - 2,
        torch.randn(4, channels, d_state) / 2,
        torch.randn(4, channels),
    ]


def addresses(tensors: list[Tensor]) -> ctypes.Array:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def run_forward(library, sizes, device, arguments, dtype=torch.float32) -> Tensor:
    y = torch.full_like(arguments[0], torch.nan)
    failed = library.scan_forward(
        (ctypes.c_int64 * 6)(*sizes),
        addresses(arguments),
        TYPES.index(dtype),
        *device,
        ctypes.c_void_p(y.data_ptr()),
    )
    assert not failed
    return y


def run_backward(library, sizes, device, arguments, grad_y, dtype=torch.float32) -> list[Tensor]:
    gradients = [torch.full_like(argument, torch.nan) for argument in arguments]
    failed = library.scan_backward(
        (ctypes.c_int64 * 6)(*sizes),
        addresses(arguments),
        ctypes.c_void_p(grad_y.data_ptr()),
        TYPES.index(dtype),
        *device,
        addresses(gradients),
    )
    assert not failed
    return gradients


def assert_near(found: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    bound = tolerance * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=bound)


@pytest.mark.parametrize(("sizes", "device"), CASES, ids=str)
def test_kernels_agree_with_the_reference(library, sizes, device):
    arguments = make_arguments(sizes)
    grad_y = torch.randn_like(arguments[0])
    exact = [argument.double().requires_grad_() for argument in arguments]
    expected = selective_scan_2d_reference(*exact)
    assert_near(run_forward(library, sizes, device, arguments), expected.detach())
    expected_gradients = torch.autograd.grad(expected, exact, grad_y.double())
    found = run_backward(library, sizes, device, arguments, grad_y)
    for gradient, expected_gradient in zip(found, expected_gradients, strict=True):
        assert_near(gradient, expected_gradient)


@pytest.mark.parametrize("device", [ONE_PROCESSOR, LITTLE_MEMORY])
@pytest.mark.parametrize("dtype", TYPES[1:])
def test_half_precision(library, dtype, device):
    """u, ssm_params and their gradients are rounded; what is between is not."""
    sizes = (1, 4, 5, 22, 3, 1)
    arguments = make_arguments(sizes)
    arguments[:2] = [argument.to(dtype).float() for argument in arguments[:2]]
    grad_y = torch.randn_like(arguments[0]).to(dtype).float()
    exact = [argument.double().requires_grad_() for argument in arguments]
    expected = selective_scan_2d_reference(*exact)
    y = run_forward(library, sizes, device, arguments, dtype)
    assert torch.equal(y, y.to(dtype).float())
    rounding = torch.finfo(dtype).eps
    assert_near(y, expected.detach(), rounding)
    expected_gradients = torch.autograd.grad(expected, exact, grad_y.double())
    found = run_backward(library, sizes, device, arguments, grad_y, dtype)
    tolerances = [rounding, rounding, *[1e-6] * 4]
    for gradient, target, tolerance in zip(found, expected_gradients, tolerances, strict=True):
        assert_near(gradient, target, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("device", [ONE_PROCESSOR, (1, 60000), (1, 40000), H100])
def test_long_paths_take_several_steps(library, device):
    test_kernels_agree_with_the_reference(library, LONG, device)


def test_groups_share_a_blocks_tiles(library):
    """Two processors for two samples: one block of each takes all six tiles of channels."""
    sizes = (2, 2, 3, 96, 3, 1)
    test_kernels_agree_with_the_reference(library, sizes, (2, 232448))


def test_what_does_not_fit_is_refused(library):
    sizes = (1, 2, 2, 16, 100, 1)
    y = torch.zeros(1, 2, 2, 16)
    arguments = addresses(make_arguments(sizes))
    counts = (ctypes.c_int64 * 6)(*sizes)
    assert library.scan_forward(counts, arguments, 0, 1, 4000, ctypes.c_void_p(y.data_ptr())) == 1


def test_nan_reaches_what_follows_it_on_each_path(library):
    sizes = (1, 3, 4, 16, 2, 1)
    arguments = make_arguments(sizes)
    arguments[0][0, 1, 2, 5] = torch.nan
    y = run_forward(library, sizes, ONE_PROCESSOR, arguments)
    assert y[..., 5].isnan().all()  # after it or before it, on one path or another
    assert not y[..., :5].isnan().any() and not y[..., 6:].isnan().any()


def test_tiny_dt_keeps_its_precision(library):
    sizes = (1, 3, 4, 16, 1, 1)
    arguments = make_arguments(sizes)
    arguments[3].fill_(-30)  # dt about 1e-13
    arguments[5].zero_()  # D: y is the states' part alone
    exact = [argument.double() for argument in arguments]
    y = run_forward(library, sizes, ONE_PROCESSOR, arguments).double()
    expected = selective_scan_2d_reference(*exact)
    assert (y - expected).abs().max() < 1e-5 * expected.abs().max()
    grad_y = torch.ones_like(arguments[0])
    exact[3].requires_grad_()
    (expected,) = torch.autograd.grad(
        selective_scan_2d_reference(*exact), exact[3], grad_y.double()
    )
    found = run_backward(library, sizes, ONE_PROCESSOR, arguments, grad_y)[3].double()
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_same_bits_twice(library):
    sizes = (2, 5, 3, 16, 3, 1)
    arguments = make_arguments(sizes)
    grad_y = torch.randn_like(arguments[0])
    first, second = (run_backward(library, sizes, H100, arguments, grad_y) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


RACES = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
batch, height, width, channels, dt_rank, d_state = sizes = 1, 17, 13, 16, 3, int(sys.argv[2])
L = batch * height * width
lengths = [L * channels, L * 4 * (dt_rank + 2 * d_state), 4 * channels * dt_rank,
           4 * channels, 4 * channels * d_state, 4 * channels]
def make(length):
    return (ctypes.c_float * length)(*([0.5] * length))
def pointers(arrays):
    return (ctypes.c_void_p * 6)(*(ctypes.addressof(array) for array in arrays))
inputs = [make(length) for length in lengths]
gradients = [make(length) for length in lengths]
for shared in (232448, 7000):  # with little of it, blocks take several steps
    arguments = (ctypes.c_int64 * 6)(*sizes), pointers(inputs)
    assert library.scan_forward(*arguments, 0, 1, shared, make(lengths[0])) == 0
    assert library.scan_backward(
        *arguments, make(lengths[0]), 0, 1, shared, pointers(gradients)) == 0
"""


def count_races(library: Path, d_state: int) -> int:
    """Run the library under ThreadSanitizer: its races are counted in a process of their own."""
    runtime = subprocess.run(
        [COMPILER, "-print-file-name=libtsan.so"], capture_output=True, text=True
    ).stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip("no ThreadSanitizer")
    environment = {
        **os.environ,
        "LD_PRELOAD": runtime,
        "TSAN_OPTIONS": "exitcode=0 report_signal_unsafe=0",
    }
    done = subprocess.run(
        [sys.executable, "-c", RACES, str(library), str(d_state)],
        env=environment,
        capture_output=True,
        text=True,
    )
    if "FATAL: ThreadSanitizer" in done.stderr:
        pytest.skip(f"ThreadSanitizer does not run here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return done.stderr.count("WARNING: ThreadSanitizer: data race")


@pytest.mark.slow
def test_no_races(repository, tmp_path):
    library = compile_library(repository / "csrc", tmp_path / "scan.so", "-fsanitize=thread")
    assert count_races(library, 1) == 0
    assert count_races(library, 2) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("selective_scan_2d_kernel.cuh", "scan.stage_rows(arguments, sample, direction, begin);"),
        ("selective_scan_2d_backward_kernel.cuh", "__syncthreads();  // the rows are free"),
    ],
)
def test_a_missing_barrier_is_found(repository, tmp_path, header, line):
    """Proof that the test above can fail: without the barrier at a line there are races."""
    csrc = tmp_path / "csrc"
    shutil.copytree(repository / "csrc", csrc)
    path = csrc / "cuda" / header
    before, found, after = path.read_text().partition(line)
    assert found
    cut = (found + after).replace("__syncthreads();", "", 1)
    path.write_text(before + cut)
    library = compile_library(csrc, tmp_path / "scan.so", "-fsanitize=thread")
    assert count_races(library, 1) > 0
