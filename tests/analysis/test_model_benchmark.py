"""Timing whole backbones: what is measured and reported."""

import sys

import pytest
import torch
from torch import nn

from hrvmamba.analysis import model_benchmark as benchmark
from hrvmamba.analysis.latency_figure import latency_figure
from hrvmamba.analysis.model_benchmark import ModelSettings, benchmark_models
from hrvmamba.ops.backend import NATIVE_DEVICES, runs_native

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    """Until the test's end."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def quick(*models, **options):
    """Settings of short measurements on small images."""
    return ModelSettings(
        models=models, **{"size": (64, 32), "seconds": 0.001, "rounds": 3, **options}
    )


class Small(nn.Module):
    """A quick model: one map, as a backbone returns them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return (self.conv(x),)


SMALL_MACS = 3 * 9 * 4 * 64 * 32


@pytest.fixture
def small_models(monkeypatch):
    """Every model is one convolution; no memory is measured, which takes a process for each."""
    monkeypatch.setattr(benchmark, "build", lambda name: Small())
    monkeypatch.setattr(benchmark, "peak_memory", lambda name, which, settings: None)


def test_tells_speed_and_cost_of_each_model(small_models):
    models = ("hrvmamba_nano", "hrvmamba_nano:reference")
    report = benchmark_models(quick(*models, models[0], batch=2, train=True))
    assert [row["model"] for row in report["results"]] == list(models)
    for row in report["results"]:
        assert row["parameters"] == 3 * 9 * 4 + 4
        assert row["macs"] == SMALL_MACS
        assert row["macs_counted_by"] == "hrvmamba.analysis.cost"
        for which in ("inference", "training"):
            timing = row[which]
            assert timing["rounds"] == 3
            assert timing["images_per_s"] == pytest.approx(2 / timing["median_s"])
    assert report["settings"]["size"] == (64, 32)
    assert "without loss" in report["training"]
    (table,) = report["tables"]
    assert "nothing else" in table["title"] and "training images/s" in table["header"]
    assert [cells[0] for cells in table["rows"]] == list(models)


def test_the_figure_shows_each_model(small_models):
    report = benchmark_models(quick("hrvmamba_nano", "hrvmamba_tiny", "hrvmamba_nano:reference"))
    (axis,) = latency_figure(report).axes
    assert {text.get_text() for text in axis.texts} == {row["model"] for row in report["results"]}
    families = [text.get_text() for text in axis.get_legend().get_texts()]
    assert families == ["hrvmamba", "hrvmamba:reference"]


def native_here() -> bool:
    return runs_native(CPU, torch.float32)


@pytest.mark.skipif("cpu" not in NATIVE_DEVICES, reason="needs the compiled CPU kernels")
def test_the_suffix_forces_the_reference():
    """In the forward and in the backward pass."""
    for name, native in (("hrvmamba_nano", True), ("hrvmamba_nano:reference", False)):
        model, seen = Small(), []
        model.register_forward_hook(lambda *_, seen=seen: seen.append(native_here()))
        model.conv.weight.register_hook(lambda _, seen=seen: seen.append(native_here()))
        benchmark.inference(name, model, quick(name))()
        assert seen == [native]
        benchmark.training(name, model, quick(name))()
        assert seen == [native] * 4  # once more to see the maps' shapes
        assert all(parameter.grad is not None for parameter in model.parameters())


def test_builds_the_presets():
    model = benchmark.build("hrvmamba_nano")
    assert sum(parameter.numel() for parameter in model.parameters()) == 676_664
    (map_,) = benchmark.inference("hrvmamba_nano", model, quick("hrvmamba_nano", batch=2))()
    assert map_.shape == (2, 8, 16, 8)


def test_peers_are_mmposes():
    """Their size, and half of what torch counts in operations, are those of their papers."""
    pytest.importorskip("mmpose")
    for name, parameters, macs in (("hrnet_w32", 28.5e6, 7.7e9), ("hrformer_small", 7.8e6, None)):
        settings = quick(name, size=(64, 64))
        model = benchmark.build(name)
        counted = sum(parameter.numel() for parameter in model.parameters())
        assert counted == pytest.approx(parameters, rel=0.01)
        if macs:
            share = 64 * 64 / (256 * 192)
            assert benchmark.count_macs(name, model, settings) == pytest.approx(
                macs * share, rel=0.02
            )
        (map_,) = benchmark.inference(name, model, settings)()
        assert map_.shape == (1, 32, 16, 16)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process's peak")
def test_memory_on_a_cpu_is_that_of_a_process_of_its_own():
    """Training keeps activations."""
    settings = quick("hrvmamba_nano", batch=4)
    inference, training = (
        benchmark.peak_memory("hrvmamba_nano", which, settings) for which in benchmark.PASSES
    )
    assert 4 * 676_664 < inference < training


def test_what_cannot_run_is_noted_and_the_others_go_on(small_models, monkeypatch):
    def broken(name):
        if name == "hrvmamba_tiny":
            raise RuntimeError("no such layer\nsecond line")
        return Small()

    monkeypatch.setattr(benchmark, "build", broken)
    report = benchmark_models(quick("hrvmamba_tiny", "hrvmamba_nano"))
    assert report["notes"] == ["hrvmamba_tiny is not timed: RuntimeError: no such layer"]
    assert [row["model"] for row in report["results"]] == ["hrvmamba_nano"]


def test_an_interruption_keeps_what_was_measured(small_models, monkeypatch):
    """Here in the second round of training: one round of it is kept, and all of inference."""
    rounds = benchmark.time_interleaved
    began = []

    def interrupted(*arguments):
        began.append(arguments)
        for number, timings in enumerate(rounds(*arguments)):
            if len(began) == 2 and number == 1:
                raise KeyboardInterrupt
            yield timings

    monkeypatch.setattr(benchmark, "time_interleaved", interrupted)
    report = benchmark_models(quick("hrvmamba_nano", train=True))
    assert report["interrupted"]
    (row,) = report["results"]
    assert row["inference"]["rounds"] == 3 and row["training"]["rounds"] == 1


def test_what_was_not_measured_is_a_dash(small_models, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "time_interleaved", interrupted)
    (table,) = benchmark_models(quick("hrvmamba_nano", train=True))["tables"]
    (cells,) = table["rows"]
    assert len(table["header"]) == len(cells)
    assert cells == ["hrvmamba_nano", "0.00 M", "0.00"] + 8 * ["-"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"models": ("hrvmamba_huge",)}, "unknown model 'hrvmamba_huge'; there are hrvmamba_nano"),
        ({"models": ("hrnet_w32:reference",)}, "unknown model 'hrnet_w32:reference'"),
        ({"size": (256, 16)}, "size must be 32 at least"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"rounds": 1}, "rounds must be at least 3, got 1"),
        ({"seconds": -1.0}, "seconds must be more than 0, got -1.0"),
    ],
)
def test_refuses(options, expected):
    with pytest.raises(ValueError, match=expected):
        ModelSettings(**{"models": ("hrvmamba_nano",), **options})


def test_a_peer_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(benchmark, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="hrnet_w32 is MMPose's, which is not installed"):
        ModelSettings(models=("hrnet_w32",))
