"""tools/gpu_check.py: its parts and its report, without a GPU."""

import importlib.util
import json
import subprocess
import sys
import time

import pytest
import torch

from hrvmamba.cli.main import main
from hrvmamba.ops.backend import NATIVE_DEVICES

CPU = torch.device("cpu")
MACHINE = {"device": "NVIDIA H100 80GB HBM3", "torch": "2.11.0+cu130", "cuda": "13.0"}


def load(path):
    """A tool as a module."""
    spec = importlib.util.spec_from_file_location(f"tool_{path.stem}", path)
    tool = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(tool)
    sys.path[:] = before
    return tool


@pytest.fixture
def tool(repository):
    return load(repository / "tools/gpu_check.py")


def python(tool, name, code, limit=60.0, **options):
    return tool.Part(name, limit, [sys.executable, "-c", code], **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so(tool, capsys):
    for arguments in ([], ["--inside", "exercise"]):
        with pytest.raises(SystemExit) as end:
            tool.main(arguments)
        assert end.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: gpu_check needs a CUDA device")


@pytest.mark.parametrize(
    ("gpu", "version", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "2.11.0+cu130", "nvidia-h100_torch-2.11"),
        ("NVIDIA H200", "2.10.1", "nvidia-h200_torch-2.10"),
        ("NVIDIA A100-SXM4-80GB", "2.11.0", "nvidia-a100-sxm4_torch-2.11"),
        ("NVIDIA GeForce RTX 4090", "2.12.0a0+git1", "nvidia-geforce-rtx-4090_torch-2.12"),
    ],
)
def test_reports_are_named_after_gpu_and_torch(tool, gpu, version, expected):
    assert tool.report_name(gpu, version) == expected


def test_a_part_passes_fails_or_is_skipped(tool):
    passed = tool.run_part(python(tool, "a", "print('first'); print('all fine')"))
    assert (passed.state, passed.detail, passed.output) == ("passed", "all fine", "")
    failed = tool.run_part(python(tool, "b", "print('out'); raise SystemExit('wrong bits')"))
    assert (failed.state, failed.detail) == ("failed", "status 1: wrong bits")
    assert "out" in failed.output
    skipped = tool.run_part(python(tool, "c", "", why_not="pytest is not installed"))
    assert (skipped.state, skipped.detail) == ("skipped", "pytest is not installed")
    refusing = python(tool, "d", "raise SystemExit('Device not supported')")
    assert tool.run_part(refusing).state == "failed"
    refusing = python(
        tool, "d", "raise SystemExit('Device not supported')", skip_if="Device not supported"
    )
    assert tool.run_part(refusing).state == "skipped"
    idle = python(tool, "e", "print('3 skipped in 1s')", needs=r"\d+ passed")
    assert tool.run_part(idle).state == "failed"
    assert tool.run_part(tool.Part("f", 1, ["/no/such/program"])).state == "failed"
    told = python(tool, "g", "import os; print(os.environ['TOLD'])", environment={"TOLD": "yes"})
    assert tool.run_part(told).detail == "yes"


def test_a_part_over_its_limit_may_write_what_it_has(tool, tmp_path):
    """It is interrupted first, then killed with what it started."""
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal, time; "
    "signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"])
print(child.pid, flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    open({str(tmp_path / "kept")!r}, "w").write("some")
"""
    outcome = tool.run_part(python(tool, "slow", code, limit=4.0))
    assert (outcome.state, outcome.detail) == ("failed", "over its 4 s")
    assert (tmp_path / "kept").read_text() == "some"
    end = time.monotonic() + 10
    while is_running(int(outcome.output.split()[0])):
        assert time.monotonic() < end
        time.sleep(0.05)


def is_running(pid):
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(done.stdout.strip()) and "Z" not in done.stdout


RESULT = {
    "benchmark": "ops",
    "settings": {"dtype": "float16"},
    "copy_gb_per_s": 2990.0,
    "interrupted": False,
    "notes": ["a | b"],
    "tables": [{"title": "small: ops", "header": ["map", "ms"], "rows": [["64x48", "0.1"]]}],
}


def test_one_failure_stops_no_other_part_and_decides_the_end(tool, tmp_path, capsys):
    written = tmp_path / "ops.json"
    code = f"open({str(written)!r}, 'w').write({json.dumps(RESULT)!r})"
    parts = [
        python(tool, "breaks", "raise SystemExit('no such kernel')"),
        python(tool, "absent", "", why_not="not installed"),
        python(tool, "ops", code, result=written),
        python(tool, "works", "print('same bits')"),
    ]
    out = tmp_path / "benchmarks/gpu_torch-2.11"
    assert not tool.check(parts, MACHINE, out)
    report = json.loads((tmp_path / "benchmarks/gpu_torch-2.11.json").read_text())
    assert [part["state"] for part in report["parts"]] == ["failed", "skipped", "passed", "passed"]
    assert report["passed"] is False and report["environment"] == MACHINE
    assert report["benchmarks"] == {"ops": RESULT}
    text = (tmp_path / "benchmarks/gpu_torch-2.11.md").read_text()
    for line in (
        "# NVIDIA H100 80GB HBM3, torch 2.11.0+cu130, CUDA 13.0",
        "| absent | skipped | 0 | not installed |",
        "## ops",
        "dtype float16; a copy moves 2990 GB/s",
        "- a \\| b",
        "| 64x48 | 0.1 |",
    ):
        assert line in text.splitlines()
    said = capsys.readouterr().out
    assert "failed: breaks" in said and "skipped: absent" in said and "FAILED" in said

    assert tool.check(parts[1:], MACHINE, out)
    assert json.loads((tmp_path / "benchmarks/gpu_torch-2.11.json").read_text())["passed"] is True


def test_what_was_done_is_written_after_each_part(tool, tmp_path, monkeypatch):
    run = tool.run_part

    def interrupted(part):
        if part.name == "second":
            raise KeyboardInterrupt
        return run(part)

    monkeypatch.setattr(tool, "run_part", interrupted)
    parts = [python(tool, "first", "print('fine')"), python(tool, "second", "")]
    with pytest.raises(KeyboardInterrupt):
        tool.check(parts, MACHINE, tmp_path / "report")
    report = json.loads((tmp_path / "report.json").read_text())
    assert [part["name"] for part in report["parts"]] == ["first"]
    assert report["passed"] is False


def test_parts_fit_ten_minutes_and_hold_what_is_promised(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "find_sanitizer", lambda: "/usr/bin/compute-sanitizer")
    parts = {part.name: part for part in tool.all_parts(tmp_path)}
    interrupted = tool.GRACE * len(parts)
    assert sum(part.limit for part in parts.values()) + interrupted <= 600
    assert "tests/ops/test_gpu.py" in parts["tests"].command
    assert parts["memcheck"].command[2] == "memcheck"
    assert parts["racecheck"].command[2] == "racecheck"
    for name in ("ops float32", "ops float16", "models batch 1", "models batch 32"):
        assert str(parts[name].result) in parts[name].command
    monkeypatch.setattr(tool, "find_sanitizer", lambda: None)
    monkeypatch.setattr(tool, "find_spec", lambda name: None)
    parts = {part.name: part for part in tool.all_parts(tmp_path)}
    assert parts["tests"].why_not == "pytest is not installed"
    assert parts["memcheck"].why_not == "compute-sanitizer is not installed"
    assert not any("hrnet_w32" in part.command for part in parts.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
@pytest.mark.parametrize("name", ["ops float16", "models batch 32"])
def test_the_benchmarks_take_the_options_of_their_part(tool, tmp_path, capsys, name):
    """They find no GPU here, and nothing else to object to."""
    (part,) = (part for part in tool.all_parts(tmp_path) if part.name == name)
    assert part.command[1:4] == ["-m", "hrvmamba", "benchmark"]
    with pytest.raises(SystemExit) as end:
        main(part.command[3:])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: no cuda")


def test_the_check_of_determinism_sees_a_difference(tool, monkeypatch):
    monkeypatch.setattr(tool, "DTYPES", (torch.float32,))
    inputs = tool._inputs
    monkeypatch.setattr(
        tool, "_inputs", lambda shape, *others: inputs((1, 4, 3, *shape[3:]), *others)
    )
    assert tool.check_determinism(CPU) == "the same bits, in and outside deterministic mode"
    scan = tool.selective_scan_2d

    def drifting(*arguments):
        return scan(*arguments) + 1e-6 * torch.rand(())

    drifting.__name__ = "drifting"
    monkeypatch.setattr(tool, "selective_scan_2d", drifting)
    with pytest.raises(AssertionError, match=r"results of drifting \(2, 16, 12, 64, 4\)"):
        tool.check_determinism(CPU)
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_the_sanitizer_watches(tool):
    assert tool.exercise(CPU) == "24 forward and backward passes"


def test_kernels_that_are_not_built_are_no_success(tool):
    if "cpu" in NATIVE_DEVICES:
        assert "cpu" in tool.check_built(CPU)
    with pytest.raises(AssertionError, match="not for meta"):
        tool.check_built(torch.device("meta"))
