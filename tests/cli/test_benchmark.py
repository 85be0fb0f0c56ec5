import importlib.util
import json

import pytest
from torch import nn

from hrvmamba.analysis import model_benchmark, op_benchmark

QUICK = ("--seconds", "0.001", "--rounds", "3", "--threads", "1")


class Small(nn.Module):
    """A quick model: one map, as a backbone returns them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return (self.conv(x),)


@pytest.fixture
def small_models(monkeypatch):
    """Every model is one convolution; no memory is measured, which takes a process for each."""
    monkeypatch.setattr(model_benchmark, "build", lambda name: Small())
    monkeypatch.setattr(model_benchmark, "peak_memory", lambda name, which, settings: None)


def test_models(command, small_models, tmp_path, capsys):
    path, picture = tmp_path / "model.json", tmp_path / "model.png"
    models = ("--models", "hrvmamba_nano", "hrvmamba_nano:reference", "--size", "64x32")
    files = ("--json", path, "--plot", picture)
    assert command("benchmark", "model", *models, *QUICK, "--batch", 2, "--train", *files) == 0
    report = json.loads(path.read_text())
    assert [row["model"] for row in report["results"]] == list(models[1:3])
    assert report["settings"]["size"] == [64, 32] and report["settings"]["batch"] == 2
    assert report["environment"]["threads"] == 1
    assert picture.read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert all(name in said for name in (*models[1:3], "GMACs", "training images/s"))


def test_ops(command, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(op_benchmark, "SIZE", (64, 32))
    monkeypatch.setattr(op_benchmark, "STRIDES", (32,))
    monkeypatch.setattr("hrvmamba.analysis.timing._COPY_BYTES", {"cpu": 2**20})
    monkeypatch.setattr(op_benchmark.Case, "channels", 64)
    path = tmp_path / "ops.json"
    options = ("--presets", "nano", "--batch", 1, "2", "--dtype", "bfloat16", "--json", path)
    assert command("benchmark", "ops", *options, *QUICK) == 0
    report = json.loads(path.read_text())
    assert report["settings"]["dtype"] == "bfloat16"
    assert {row["batch"] for row in report["results"]} == {1, 2}
    assert "nano: DSS2D in bfloat16" in capsys.readouterr().out


def test_an_interruption_writes_what_was_measured(command, small_models, monkeypatch, tmp_path):
    rounds = model_benchmark.time_interleaved

    def interrupted(*arguments):
        yield next(iter(rounds(*arguments)))
        raise KeyboardInterrupt

    monkeypatch.setattr(model_benchmark, "time_interleaved", interrupted)
    path, picture = tmp_path / "model.json", tmp_path / "model.svg"
    files = ("--json", path, "--plot", picture)
    options = ("--models", "hrvmamba_nano", "--size", "64x32", *QUICK)
    assert command("benchmark", "model", *options, *files) == 130
    report = json.loads(path.read_text())
    assert report["interrupted"] and report["results"][0]["inference"]["rounds"] == 1
    assert picture.exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("model", "--models", "hrvmamba_huge"), "unknown model 'hrvmamba_huge'"),
        (("model", "--size", "256"), "--size: got 256, needs HEIGHTxWIDTH, each 32 at least"),
        (("model", "--plot", "picture.txt"), "must end in .png, .pdf, .svg"),
        (("model", "--json", "."), "is a folder"),
        (("model", "--device", "cuda:77"), "no cuda:77"),
        (("ops", "--presets", "large"), "unknown preset 'large'"),
        (("ops", "--threads", "-1"), "--threads: got -1"),
        (("ops", "--rounds", "2"), "rounds must be at least 3, got 2"),
        (("ops", "--device", "tpu"), "cpu or cuda, got 'tpu'"),
    ],
)
def test_refuses(refused, options, expected):
    assert expected in refused("benchmark", *options)


def test_a_plot_without_matplotlib_is_refused(refused, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "hrvmamba.cli.benchmark.find_spec",
        lambda name: None if name == "matplotlib" else find(name),
    )
    assert "needs matplotlib" in refused("benchmark", "model", "--plot", "a.png")
