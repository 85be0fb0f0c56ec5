"""tools/benchmark_model.py: what it writes, its peers, and what it refuses."""

import importlib.util
import json
import sys

import pytest
import torch
from torch import nn

from hrvmamba.ops.backend import NATIVE_DEVICES, runs_native

CPU = torch.device("cpu")
QUICK = ("--size", "64x32", "--seconds", "0.001", "--rounds", "3")


@pytest.fixture
def tool(load_tool, monkeypatch):
    """The tool as a module; it measures no memory, which takes a process for each model."""
    threads = torch.get_num_threads()
    tool = load_tool("benchmark_model")
    tool.measure_memory = tool.peak_memory
    monkeypatch.setattr(tool, "peak_memory", lambda name, which, options: None)
    torch.set_num_threads(1)
    yield tool
    torch.set_num_threads(threads)


class Small(nn.Module):
    """A quick model: one map, as a backbone returns them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return (self.conv(x),)


SMALL_MACS = 3 * 9 * 4 * 64 * 32


@pytest.fixture
def quick(tool, monkeypatch):
    """The tool, its models replaced by one convolution."""
    monkeypatch.setattr(tool, "build", lambda name: Small())
    return tool


def report_of(tool, tmp_path, *options):
    path = tmp_path / "model.json"
    tool.main([*QUICK, "--json", str(path), *options])
    return json.loads(path.read_text())


def test_writes_speed_and_cost_of_each_model(quick, tmp_path, capsys):
    models = ("hrvmamba_nano", "hrvmamba_nano:reference")
    picture = tmp_path / "model.png"
    report = report_of(
        quick, tmp_path, "--models", *models, "--batch", "2", "--train", "--plot", str(picture)
    )
    assert [row["model"] for row in report["results"]] == list(models)
    for row in report["results"]:
        assert row["parameters"] == 3 * 9 * 4 + 4
        assert row["macs"] == SMALL_MACS
        assert row["macs_counted_by"] == "hrvmamba.analysis.cost"
        for which in ("inference", "training"):
            timing = row[which]
            assert timing["rounds"] == 3
            assert timing["images_per_s"] == pytest.approx(2 / timing["median_s"])
    assert report["settings"]["size"] == [64, 32]
    assert "without loss" in report["training"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert all(name in said for name in (*models, "GMACs", "training images/s", "nothing else"))


def native_here() -> bool:
    return runs_native(CPU, torch.float32)


@pytest.mark.skipif("cpu" not in NATIVE_DEVICES, reason="needs the compiled CPU kernels")
def test_the_suffix_forces_the_reference(tool, monkeypatch):
    """In the forward and in the backward pass."""
    options = tool.parse_arguments([*QUICK])
    tool.check(options)
    for name, native in (("hrvmamba_nano", True), ("hrvmamba_nano:reference", False)):
        model, seen = Small(), []
        model.register_forward_hook(lambda *_, seen=seen: seen.append(native_here()))
        model.conv.weight.register_hook(lambda _, seen=seen: seen.append(native_here()))
        tool.inference(name, model, options)()
        assert seen == [native]
        tool.training(name, model, options)()
        assert seen == [native] * 4  # once more to see the maps' shapes
        assert all(parameter.grad is not None for parameter in model.parameters())


def test_builds_the_presets(tool):
    options = tool.parse_arguments([*QUICK, "--batch", "2"])
    tool.check(options)
    model = tool.build("hrvmamba_nano")
    assert sum(parameter.numel() for parameter in model.parameters()) == 676_664
    (map_,) = tool.inference("hrvmamba_nano", model, options)()
    assert map_.shape == (2, 8, 16, 8)


def test_peers_are_mmposes(tool):
    """Their size, and half of what torch counts in operations, are those of their papers."""
    pytest.importorskip("mmpose")
    options = tool.parse_arguments(["--size", "64x64"])
    tool.check(options)
    for name, parameters, macs in (("hrnet_w32", 28.5e6, 7.7e9), ("hrformer_small", 7.8e6, None)):
        model = tool.build(name)
        counted = sum(parameter.numel() for parameter in model.parameters())
        assert counted == pytest.approx(parameters, rel=0.01)
        if macs:
            share = 64 * 64 / (256 * 192)
            assert tool.count_macs(name, model, options) == pytest.approx(macs * share, rel=0.02)
        (map_,) = tool.inference(name, model, options)()
        assert map_.shape == (1, 32, 16, 16)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process's peak")
def test_memory_on_a_cpu_is_that_of_a_process_of_its_own(tool):
    """Training keeps activations."""
    options = tool.parse_arguments([*QUICK, "--batch", "4"])
    tool.check(options)
    inference, training = (
        tool.measure_memory("hrvmamba_nano", which, options) for which in tool.PASSES
    )
    assert 4 * 676_664 < inference < training


def test_what_cannot_run_is_noted_and_the_others_go_on(quick, monkeypatch, tmp_path, capsys):
    build = quick.build

    def broken(name):
        if name == "hrvmamba_tiny":
            raise RuntimeError("no such layer\nsecond line")
        return build(name)

    monkeypatch.setattr(quick, "build", broken)
    report = report_of(quick, tmp_path, "--models", "hrvmamba_tiny", "hrvmamba_nano")
    assert report["notes"] == ["hrvmamba_tiny is not timed: RuntimeError: no such layer"]
    assert [row["model"] for row in report["results"]] == ["hrvmamba_nano"]
    assert report["notes"][0] in capsys.readouterr().out


def test_an_interruption_keeps_what_was_measured(quick, monkeypatch, tmp_path, capsys):
    """Here in the second round of training: one round of it is kept, and all of inference."""
    rounds = quick.time_interleaved
    began = []

    def interrupted(*arguments):
        began.append(arguments)
        for number, timings in enumerate(rounds(*arguments)):
            if len(began) == 2 and number == 1:
                raise KeyboardInterrupt
            yield timings

    monkeypatch.setattr(quick, "time_interleaved", interrupted)
    with pytest.raises(SystemExit) as end:
        report_of(
            quick,
            tmp_path,
            *("--models", "hrvmamba_nano", "--train", "--plot", str(tmp_path / "model.svg")),
        )
    assert end.value.code == 130
    report = json.loads((tmp_path / "model.json").read_text())
    assert report["interrupted"]
    (row,) = report["results"]
    assert row["inference"]["rounds"] == 3 and row["training"]["rounds"] == 1
    assert (tmp_path / "model.svg").exists()
    said = capsys.readouterr().out
    assert "hrvmamba_nano" in said and "interrupted" in said


def test_what_was_not_measured_is_a_dash(tool):
    row = {"model": "hrvmamba_nano", "parameters": 676_664, "macs": 465e6}
    header, (cells,) = tool.table([row], train=True)
    assert len(header) == len(cells)
    assert cells == ["hrvmamba_nano", "0.68 M", "0.47"] + 8 * ["-"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--models", "hrvmamba_huge"), "unknown 'hrvmamba_huge'; there are hrvmamba_nano, "),
        (("--models", "hrnet_w32:reference"), "unknown 'hrnet_w32:reference'; there are"),
        (("--size", "256"), "--size: got 256, needs HEIGHTxWIDTH, each 32 at least"),
        (("--size", "256x16"), "--size: got 256x16"),
        (("--batch", "0"), "--batch: got 0"),
        (("--rounds", "1"), "--rounds: got 1"),
        (("--seconds", "-1"), "--seconds: got -1.0"),
        (("--plot", "picture.txt"), "must end in .png, .pdf, .svg"),
        (("--json", "."), "is a folder"),
        (("--device", "cuda:77"), "no cuda:77"),
    ],
)
def test_refuses(refused, options, expected):
    assert expected in refused("benchmark_model", "--models", "hrvmamba_nano", *options)


@pytest.mark.parametrize(
    ("package", "options"),
    [("mmpose", ("--models", "hrnet_w32")), ("matplotlib", ("--plot", "a.png"))],
)
def test_what_is_not_installed_is_named(refused, monkeypatch, package, options):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == package else find(name)
    )
    assert "not installed" in refused("benchmark_model", "--models", "hrvmamba_nano", *options)
