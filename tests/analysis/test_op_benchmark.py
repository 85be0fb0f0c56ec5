"""Timing the ops: what is measured and reported, and the peers as stand-ins."""

import math
import sys
import types

import pytest
import torch
import torch.nn.functional as F

from hrvmamba.analysis import op_benchmark as benchmark
from hrvmamba.analysis.op_benchmark import OpSettings, benchmark_ops
from hrvmamba.ops.backend import NATIVE_DEVICES
from hrvmamba.ops.deform_sample import deform_sample_reference

PASSES = ["forward", "forward+backward"]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Images of 64x32, a copy of a megabyte, one thread."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(benchmark, "SIZE", (64, 32))
    monkeypatch.setattr("hrvmamba.analysis.timing._COPY_BYTES", {"cpu": 2**20})
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def quick(**options):
    """A report of short measurements."""
    options = {"presets": ("nano",), "batches": (1,), "seconds": 0.001, "rounds": 3} | options
    return benchmark_ops(OpSettings(**options))


def test_tells_each_op_branch_and_pass_beside_the_reference(capsys):
    report = quick()
    assert report["environment"]["threads"] == 1
    assert report["copy_gb_per_s"] > 0 and not report["interrupted"]
    measured = {}
    for row in report["results"]:
        key = (row["op"], row["stride"], row["pass"])
        measured.setdefault(key, {})[row["implementation"]] = row
    ops = ("deform_sample", "selective_scan_2d", "DSS2D")
    assert list(measured) == [
        (op, stride, which) for op in ops for stride in (4, 8, 16, 32) for which in PASSES
    ]
    expected = {"native", "reference"} if "cpu" in NATIVE_DEVICES else {"reference"}
    for (op, stride, which), rows in measured.items():
        assert expected <= set(rows)
        for row in rows.values():
            elements = 64 // stride * 32 // stride * row["d_inner"]
            assert row["d_inner"] == 2 * {4: 8, 8: 16, 16: 32, 32: 64}[stride]
            factor = 4 if op == "selective_scan_2d" else 1
            assert row["ns_per_unit"] == pytest.approx(row["median_s"] * 1e9 / elements / factor)
            gb_per_s = row["floor_bytes"] / row["median_s"] / 1e9
            assert row["gb_per_s"] == pytest.approx(gb_per_s)
            assert row["floor_share"] == pytest.approx(gb_per_s / report["copy_gb_per_s"])
            assert row["rounds"] == 3
            if which == "forward":
                assert row["deviation"] < 1e-4
        assert rows["reference"]["speedup"] == 1
    said = capsys.readouterr().out
    assert all(name in said for name in (*ops, "GB/s", "floor", "spread", "reference"))


def test_bytes_that_must_move():
    """By hand, for a map of 16x8 with D = 16, R = G = 1: 27 of 32 columns of offsets are read."""
    case = benchmark.Case("nano", 4, 2)
    tokens = 2 * 16 * 8
    value, offsets, read = 16 * tokens, 32 * tokens, 27 * tokens
    floor = benchmark.sampling(case, torch.float32, CPU, benchmark.Peers()).floor_bytes
    backward = value + read + value + value + offsets
    assert floor["forward"] == 4 * (value + read + value)
    assert floor["forward+backward"] == floor["forward"] + 4 * backward

    params, weights = 4 * 3 * tokens, 4 * 16 * 4
    floor = benchmark.scanning(case, torch.float16, CPU, benchmark.Peers()).floor_bytes
    inputs = 2 * (value + params) + 4 * weights
    assert floor["forward"] == inputs + 2 * value
    assert floor["forward+backward"] == 3 * inputs + 2 * 2 * value

    floor = benchmark.whole_layer(case, torch.float32, CPU, benchmark.Peers()).floor_bytes
    columns = (8 + 16) + (16 + 32) + (16 + 27 + 16) + (16 + 12) + (16 + 12 + 16) + (16 + 8)
    parameters = 8 * 16 + (16 + 1) * 32 + 16 * 12 + weights + 16 * 8
    assert floor["forward"] == 4 * (columns * tokens + parameters)


# Stand-ins of the peers: the recurrence of one sequence, and DCNv4's sampling


def sequence_scan(u, delta, A, B, C, D, delta_bias):
    """u, delta (B, D, L); A (D, N); B, C (B, G, N, L); D, delta_bias (D)."""
    dt = F.softplus(delta + delta_bias[:, None])
    B, C = (x.repeat_interleave(u.shape[1] // x.shape[1], 1) for x in (B, C))  # (B, D, N, L)
    h, outs = 0, []
    for t in range(u.shape[-1]):
        step = dt[..., t, None]
        h = torch.exp(step * A) * h + step * B[..., t] * u[..., t, None]
        outs.append((h * C[..., t]).sum(-1) + D * u[..., t])
    return torch.stack(outs, -1)


def mamba_ssm():
    def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
        assert delta_softplus and z is None
        return sequence_scan(u, delta, A, B, C, D, delta_bias)

    return {
        "mamba_ssm": {},
        "mamba_ssm.ops": {},
        "mamba_ssm.ops.selective_scan_interface": {"selective_scan_fn": selective_scan_fn},
    }


def vmamba(name):
    def fwd(u, delta, A, B, C, D, delta_bias, softplus, rows, *out_float):
        assert softplus is True and rows == 1
        assert out_float == ((True,) if name == "oflex" else ())
        return sequence_scan(u, delta, A, B, C, D, delta_bias), torch.zeros(1)

    def bwd(*arguments):
        *tensors, grad, _, softplus, rows = arguments
        assert softplus is True and rows == 1
        leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        with torch.enable_grad():
            out = sequence_scan(*leaves)
        return torch.autograd.grad(out, leaves, grad)

    return {f"selective_scan_cuda_{name}": {"fwd": fwd, "bwd": bwd}}


def dcnv4():
    class DCNv4Function:
        @staticmethod
        def apply(value, offset_mask, *geometry):
            *shape, group, group_channels, offset_scale, im2col_step, remove_center = geometry
            assert shape == [3, 3, 1, 1, 1, 1, 1, 1]  # kernel, stride, padding, dilation
            assert group * group_channels == value.shape[-1]
            assert (offset_scale, im2col_step, remove_center) == (1.0, 256, 0)
            return deform_sample_reference(value, offset_mask, group)

    return {"DCNv4": {}, "DCNv4.functions": {"DCNv4Function": DCNv4Function}}


PEERS = {
    "mamba_ssm": (mamba_ssm, "scanning"),
    "VMamba oflex": (lambda: vmamba("oflex"), "scanning"),
    "VMamba core": (lambda: vmamba("core"), "scanning"),
    "DCNv4": (dcnv4, "sampling"),
}


def install(monkeypatch, modules):
    for name, content in modules.items():
        module = types.ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("name", [*PEERS, "torchvision"])
def test_peers_compute_the_same(monkeypatch, name):
    """Results, and gradients of what has the same layout on both sides."""
    if name == "torchvision":
        pytest.importorskip("torchvision")
        op = "sampling"
    else:
        modules, op = PEERS[name]
        install(monkeypatch, modules())
    case = benchmark.Case("small", 16, 2)  # R = G = 8
    work = getattr(benchmark, op)(case, torch.float32, CPU, benchmark.find_peers())
    results = {}
    for label in ("reference", name):
        contender = work.contenders[label]
        tensors = [tensor.detach().requires_grad_() for tensor in contender.tensors]
        out = contender.arrange(contender.function(*tensors))
        torch.manual_seed(1)
        grads = torch.autograd.grad(out, tensors, torch.randn(out.shape))
        first = grads[0] if grads[0].shape == out.shape else grads[0].permute(0, 2, 3, 1)
        results[label] = (out, first, *(grads[-4:] if op == "scanning" else ()))
    for got, wanted in zip(results[name], results["reference"], strict=True):
        assert (got - wanted).norm() < 1e-4 * wanted.norm()


def test_a_peer_that_fails_is_noted_and_the_others_go_on(monkeypatch, capsys):
    def fwd(*arguments):
        raise RuntimeError("u must be a CUDA tensor\nsecond line")

    install(monkeypatch, {"selective_scan_cuda_core": {"fwd": fwd}})
    report = quick()
    notes = [note for note in report["notes"] if "u must be a CUDA tensor" in note]
    assert len(notes) == 4 * 2 and all("second line" not in note for note in notes)
    assert "VMamba core is not timed on selective_scan_2d, nano at stride 4, batch 1" in notes[0]
    assert notes[0] in capsys.readouterr().out
    scans = {row["implementation"] for row in report["results"] if row["op"] == "selective_scan_2d"}
    assert "reference" in scans and "VMamba core" not in scans


def test_an_interruption_keeps_what_was_measured(monkeypatch, capsys):
    measure = benchmark.measure

    def interrupted(op, case, *others):
        if (op, case.stride) == ("selective_scan_2d", 8):
            raise KeyboardInterrupt
        yield from measure(op, case, *others)

    monkeypatch.setattr(benchmark, "measure", interrupted)
    report = quick()
    assert report["interrupted"]
    last = report["results"][-1]
    assert (last["op"], last["stride"]) == ("selective_scan_2d", 4)
    said = capsys.readouterr().out
    assert "selective_scan_2d in float32" in said


def test_half_types_and_several_batches(monkeypatch):
    monkeypatch.setattr(benchmark, "STRIDES", (32,))
    monkeypatch.setattr(benchmark.Case, "channels", 64)
    report = quick(dtype="bfloat16", batches=(1, 2))
    assert {row["batch"] for row in report["results"]} == {1, 2}
    deviations = [row["deviation"] for row in report["results"] if row["pass"] == "forward"]
    assert all(math.isfinite(deviation) and deviation < 0.05 for deviation in deviations)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"presets": ("large",)}, "unknown preset 'large'; there are nano, tiny, small, base"),
        ({"batches": (1, 0)}, "a batch must be at least 1, got 0"),
        ({"dtype": "int8"}, "dtype must be one of float32, float16, bfloat16, got 'int8'"),
        ({"rounds": 2}, "rounds must be at least 3, got 2"),
        ({"seconds": 0.0}, "seconds must be more than 0, got 0.0"),
    ],
)
def test_refuses(options, expected):
    with pytest.raises(ValueError, match=expected):
        OpSettings(**options)
