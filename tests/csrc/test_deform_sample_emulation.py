"""deform_sample's CUDA kernels, run on the host, against the reference in float64."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from hrvmamba.ops.deform_sample import deform_sample_reference

SOURCE = Path(__file__).with_name("deform_sample_emulation.cpp")
TYPES = [torch.float32, torch.float16, torch.bfloat16]
ALL_BLOCKS = 2**31 - 1

# Height 1, odd maps, one and several groups, channels that make whole packs and not
SHAPES = [
    (1, 1, 1, 16, 1),
    (3, 1, 7, 32, 1),
    (2, 8, 6, 64, 2),
    (1, 12, 9, 160, 5),
    (2, 5, 7, 21, 3),
]


def compiled(target, *flags):
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    compiler = next((path for name in names if (path := shutil.which(name))), None)
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    command = [compiler, "-std=c++17", "-O2", "-pthread", *flags, str(SOURCE), "-o", str(target)]
    return subprocess.run(command, capture_output=True, text=True)


class SampleSizes(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "height", "width", "channels", "groups")),
        ("offset_mask_columns", ctypes.c_int64),
        ("silu", ctypes.c_bool),
    ]


class Run(ctypes.Structure):
    """Run of the C++ file."""

    _fields_ = [
        ("sizes", SampleSizes),
        ("max_blocks", ctypes.c_uint),
        ("shift", ctypes.c_int64),
    ]


class Emulation:
    def __init__(self, library):
        self.library = ctypes.CDLL(str(library))

    def _call(self, name, dtype, run, *arguments):
        """Arguments are float32 tensors, contiguous, and flags."""
        converted = [
            ctypes.c_void_p(x.data_ptr()) if isinstance(x, torch.Tensor) else ctypes.c_bool(x)
            for x in arguments
        ]
        getattr(self.library, name)(TYPES.index(dtype), ctypes.byref(run), *converted)

    def _run(self, value, offset_mask, groups, silu, max_blocks, shift):
        sizes = SampleSizes(*value.shape, groups, offset_mask.shape[-1], silu)
        return Run(sizes, max_blocks, shift)

    def forward(self, value, offset_mask, groups, silu, max_blocks=ALL_BLOCKS, shift=0):
        out = torch.full(value.shape, torch.nan)
        run = self._run(value, offset_mask, groups, silu, max_blocks, shift)
        self._call("deform_sample", value.dtype, run, value.float(), offset_mask.float(), out)
        return out

    def backward(
        self,
        grad_out,
        value,
        offset_mask,
        groups,
        silu,
        deterministic=False,
        max_blocks=ALL_BLOCKS,
        shift=0,
    ):
        grads = torch.full(value.shape, torch.nan), torch.full(offset_mask.shape, torch.nan)
        run = self._run(value, offset_mask, groups, silu, max_blocks, shift)
        inputs = grad_out.float(), value.float(), offset_mask.float()
        self._call("deform_sample_backward", value.dtype, run, deterministic, *inputs, *grads)
        return grads


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    target = tmp_path_factory.mktemp("emulation") / "deform_sample.so"
    done = compiled(target, "-shared", "-fPIC", "-Wall", "-Wextra", "-Wno-unknown-pragmas")
    assert done.returncode == 0, done.stderr
    return Emulation(target)


def inputs(batch, height, width, channels, groups, dtype=torch.float32, spread=1.0):
    """Offsets keep away from whole pixels, where the slope of the bilinear kernel jumps."""
    generator = torch.Generator().manual_seed(channels)
    columns = -(-27 * groups // 8) * 8
    value = torch.randn(batch, height, width, channels, generator=generator)
    offset_mask = torch.randn(batch, height, width, columns, generator=generator) * spread
    fractions = torch.rand(offset_mask.shape, generator=generator)
    # 1/8 to 7/8 in sixteenths: a half type keeps small offsets exactly, large ones off the pixels
    offset_mask = offset_mask.floor() + 0.125 + (fractions * 12).floor() / 16
    return value.to(dtype), offset_mask.to(dtype), groups


def expected(value, offset_mask, groups, silu, grad_out=None):
    """The result in float64, or the gradients."""
    leaves = [x.double().requires_grad_() for x in (value, offset_mask)]
    out = deform_sample_reference(*leaves, groups)
    out = F.silu(out) if silu else out
    return out.detach() if grad_out is None else torch.autograd.grad(out, leaves, grad_out.double())


def assert_close(got, wanted, tolerance):
    """As a share of the largest."""
    error, most = (got - wanted).abs().max(), wanted.abs().max()
    assert error <= tolerance * most, (error, most)


@pytest.mark.parametrize("silu", [False, True], ids=["plain", "silu"])
@pytest.mark.parametrize("spread", [1.0, 20.0], ids=["near", "far outside"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float32(kernels, shape, spread, silu):
    arguments = inputs(*shape, spread=spread)
    assert_close(kernels.forward(*arguments, silu), expected(*arguments, silu), 2e-6)
    grad_out = torch.randn(shape[:4], generator=torch.Generator().manual_seed(1))
    wanted = expected(*arguments, silu, grad_out)
    for deterministic in (False, True):
        grads = kernels.backward(grad_out, *arguments, silu, deterministic)
        for got, want in zip(grads, wanted, strict=True):
            assert_close(got, want, 5e-6)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float16, 1e-3), (torch.bfloat16, 8e-3)], ids=str
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_half_types(kernels, shape, dtype, tolerance):
    arguments = inputs(*shape, dtype=dtype)
    assert_close(kernels.forward(*arguments, True), expected(*arguments, True), tolerance)
    grad_out = torch.randn(shape[:4], generator=torch.Generator().manual_seed(1)).to(dtype)
    wanted = expected(*arguments, True, grad_out)
    for deterministic in (False, True):
        grads = kernels.backward(grad_out, *arguments, True, deterministic)
        for got, want in zip(grads, wanted, strict=True):
            assert_close(got, want, tolerance)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_points_on_pixels(kernels, shape):
    """Slopes jump there: the gradients of value and mask alone are compared."""
    value, offset_mask, groups = inputs(*shape, spread=2.0)
    arguments = value, offset_mask.round(), groups
    assert_close(kernels.forward(*arguments, True), expected(*arguments, True), 2e-6)
    grad_out = torch.randn(shape[:4], generator=torch.Generator().manual_seed(1))
    wanted = expected(*arguments, True, grad_out)
    masks = [27 * group + 18 + k for group in range(groups) for k in range(9)]
    for deterministic in (False, True):
        grads = kernels.backward(grad_out, *arguments, True, deterministic)
        assert_close(grads[0], wanted[0], 5e-6)
        assert_close(grads[1][..., masks], wanted[1][..., masks], 5e-6)


def test_offsets_that_are_no_number_count_zero(kernels):
    value, offset_mask, groups = inputs(2, 5, 7, 21, 3)
    offset_mask[0, 1, 2, 3] = torch.nan
    offset_mask[1, 4, 6, 27 + 4] = torch.inf
    offset_mask[1, 0, 0, 54 + 5] = -torch.inf
    strange = ~offset_mask.isfinite()
    outside = torch.where(strange, 1e6, offset_mask)
    out = kernels.forward(value, offset_mask, groups, True)
    assert_close(out, expected(value, outside, groups, True), 2e-6)
    grad_out = torch.ones_like(value)
    wanted = expected(value, outside, groups, True, grad_out)
    for deterministic in (False, True):
        grads = kernels.backward(grad_out, value, offset_mask, groups, True, deterministic)
        for got, want in zip(grads, wanted, strict=True):
            assert_close(got, want, 5e-6)
        assert (grads[1][strange] == 0).all()


def test_misaligned_maps_are_read_one_by_one(kernels):
    arguments = inputs(2, 3, 5, 32, 2)
    grad_out = torch.randn(2, 3, 5, 32)
    out = kernels.forward(*arguments, True, shift=1)
    assert_close(out, expected(*arguments, True), 2e-6)
    grads = kernels.backward(grad_out, *arguments, True, shift=1)
    for got, wanted in zip(grads, expected(*arguments, True, grad_out), strict=True):
        assert_close(got, wanted, 5e-6)


@pytest.mark.parametrize("shape", [(1, 2, 3, 1100, 1), (1, 2, 3, 300, 2)], ids=str)
def test_groups_wider_than_a_block(kernels, shape):
    """300 channels of a block's 128 threads, and 275 packs of 4."""
    arguments = inputs(*shape)
    grad_out = torch.randn(shape[:4], generator=torch.Generator().manual_seed(1))
    for shift in (0, 1):
        out = kernels.forward(*arguments, True, shift=shift)
        assert_close(out, expected(*arguments, True), 2e-6)
        grads = kernels.backward(grad_out, *arguments, True, shift=shift)
        for got, wanted in zip(grads, expected(*arguments, True, grad_out), strict=True):
            assert_close(got, wanted, 5e-6)


def test_the_number_of_blocks_changes_no_bit(kernels):
    """Not where deterministic is asked for; and never in the gradients of offsets and masks."""
    arguments = inputs(2, 5, 7, 48, 3, spread=2.0)
    grad_out = torch.randn(2, 5, 7, 48)
    out = kernels.forward(*arguments, True)
    grads = kernels.backward(grad_out, *arguments, True, deterministic=True)
    for max_blocks in (1, 2, 5):
        assert torch.equal(kernels.forward(*arguments, True, max_blocks), out)
        again = kernels.backward(grad_out, *arguments, True, True, max_blocks)
        assert all(map(torch.equal, again, grads))
        assert torch.equal(
            kernels.backward(grad_out, *arguments, True, False, max_blocks)[1], grads[1]
        )


def test_deterministic_sums_fit_gradients_of_any_size(kernels):
    """Each sample has its own unit."""
    arguments = inputs(3, 4, 5, 16, 1)
    grad_out = torch.randn(3, 4, 5, 16) * torch.tensor([1e-30, 1.0, 1e30]).view(3, 1, 1, 1)
    got, _ = kernels.backward(grad_out, *arguments, True, deterministic=True)
    wanted, _ = expected(*arguments, True, grad_out)
    for sample in range(3):
        assert_close(got[sample], wanted[sample], 2e-6)


def test_many_contributions_to_one_pixel_do_not_overflow(kernels):
    """All points of all tokens fall on one pixel."""
    height, width = 6, 8
    value, _, groups = inputs(1, height, width, 4, 1)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    steps = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    offsets = [x for dx, dy in steps for x in (3 - columns - dx, 2 - rows - dy)]
    offset_mask = torch.stack([*offsets, *[torch.ones(height, width)] * 9], -1).unsqueeze(0).float()
    grad_out = torch.full_like(value, 1.999)
    got, _ = kernels.backward(grad_out, value, offset_mask, groups, False, deterministic=True)
    wanted = torch.zeros_like(value)
    wanted[0, 2, 3] = 1.999 * 9 * height * width
    assert_close(got, wanted, 1e-6)


@pytest.mark.parametrize("where", ["grad_out", "mask", "value"])
def test_deterministic_sums_do_not_hide_what_is_not_finite(kernels, where):
    value, offset_mask, groups = inputs(2, 4, 5, 16, 1)
    grad_out = torch.randn(2, 4, 5, 16)
    {"grad_out": grad_out, "mask": offset_mask[..., 18:], "value": value}[where][0, 1, 1, 1] = (
        torch.nan if where == "value" else torch.inf
    )
    grad_value, _ = kernels.backward(grad_out, value, offset_mask, groups, True, deterministic=True)
    assert grad_value[0].isnan().all()
    assert grad_value[1].isfinite().all()


def races(tmp_path, *flags):
    """The kernels' run under ThreadSanitizer, to the first race."""
    program = tmp_path / "deform_sample"
    if compiled(program, "-g", "-O1", "-fsanitize=thread", *flags).returncode:
        pytest.skip("the C++ compiler has no ThreadSanitizer")
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1"}
    done = subprocess.run([program], capture_output=True, text=True, env=environment)
    if "FATAL: ThreadSanitizer" in done.stderr:
        pytest.skip("ThreadSanitizer does not run here")
    return done


@pytest.mark.slow
def test_threads_do_not_race(tmp_path):
    done = races(tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_races_are_found(tmp_path):
    assert "data race" in races(tmp_path, "-DHRVMAMBA_WITHOUT_BARRIERS").stderr
