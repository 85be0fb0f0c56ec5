"""Check the compiled ops on this machine's GPU, time them, and write a report of both.

python tools/gpu_check.py

In under ten minutes: builds the extension if it has no CUDA kernels, runs the GPU tests,
compute-sanitizer and a check of determinism, then both benchmarks. It needs torch and nvcc alone.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

import torch

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))  # the package may not be installed yet

from hrvmamba.analysis.timing import environment, find_device, markdown_table  # noqa: E402
from hrvmamba.cli.errors import refuse  # noqa: E402
from hrvmamba.layers import DSS2D  # noqa: E402
from hrvmamba.models.hrvmamba import ARCHS  # noqa: E402
from hrvmamba.ops import deform_sample, selective_scan_2d  # noqa: E402
from hrvmamba.ops.backend import NATIVE_DEVICES  # noqa: E402
from hrvmamba.whole_file import whole_file  # noqa: E402

GRACE = 3  # seconds that a part gets to write what it has, once its time is over

# D of whole vectors and of parts of one, L from 1 to 192, several samples and groups
SHAPES = ((1, 1, 1, 16, 1), (2, 7, 1, 20, 1), (3, 9, 12, 160, 10), (2, 16, 12, 64, 4))
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a part ended.

    Attributes:
        name: of the part.
        state: passed, failed or skipped.
        seconds: how long it took.
        detail: a line that says more.
        output: the end of what it printed, if it failed.
    """

    name: str
    state: str
    seconds: float
    detail: str
    output: str = ""


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the check: a program to run.

    Attributes:
        name: what it is called in the report.
        limit: seconds that it may take.
        command: the program.
        why_not: why it cannot run here, empty if it can.
        environment: variables for it alone.
        skip_if: text in the output of a failure which says that the part cannot run here.
        needs: pattern that the output of a success has.
        result: JSON file that it writes, for the report.
    """

    name: str
    limit: float
    command: list[str]
    why_not: str = ""
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    skip_if: str | None = None
    needs: str = ""
    result: Path | None = None


# What runs on the device


def _inputs(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> list[tuple]:
    """Arguments of both ops, drawn on the CPU: each an op, its tensors and the rest."""
    *size, channels, groups = shape
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(dtype).to(device).requires_grad_()

    value, offset_mask = (
        normal(*size, columns, dtype=dtype) for columns in (channels, -(-27 * groups // 8) * 8)
    )
    params = normal(*size, 4, groups + 2, dtype=dtype)
    weights = (normal(4, channels, groups), normal(4, channels), normal(4, channels, 1))
    return [
        (deform_sample, (value, offset_mask), (groups, "silu")),
        (selective_scan_2d, (value, params, *weights, normal(4, channels)), ()),
    ]


def exercise(device: torch.device) -> str:
    """Run both ops forward and backward on small shapes, for a sanitizer to watch."""
    runs = 0
    for shape in SHAPES:
        for dtype in DTYPES:
            for op, tensors, others in _inputs(shape, dtype, device):
                out = op(*tensors, *others)
                torch.autograd.grad(out, tensors, torch.ones_like(out))
                runs += 1
    return f"{runs} forward and backward passes"


def check_determinism(device: torch.device) -> str:
    """Run the ops and the layer twice: the same bits, also in PyTorch's deterministic mode.

    Outside that mode deform_sample's gradients may differ; whether they did is said.

    Raises:
        AssertionError: two runs differ.
    """
    before = torch.are_deterministic_algorithms_enabled()
    try:
        torch.use_deterministic_algorithms(False)
        differing = _differing_gradients(device)
        assert differing <= {"deform_sample"}, f"gradients of {', '.join(differing)} differ"
        torch.use_deterministic_algorithms(True)
        again = _differing_gradients(device)
        assert not again, f"in deterministic mode gradients of {', '.join(again)} differ"
        torch.manual_seed(0)
        layer = DSS2D(64).to(device)
        with torch.no_grad():
            layer.offset_mask.weight.normal_(std=0.1)
        tensors = (torch.randn(4, 32, 24, 64).to(device).requires_grad_(), *layer.parameters())
        runs = [_results(lambda x, *_: layer(x), tensors, ()) for _ in range(3)]
        assert _same(runs), "in deterministic mode DSS2D's results or gradients differ"
    finally:
        torch.use_deterministic_algorithms(before)
    if differing:
        return "the same bits, but for deform_sample's gradients outside deterministic mode"
    return "the same bits, in and outside deterministic mode"


def _differing_gradients(device: torch.device) -> set[str]:
    """Names of the ops whose gradients differ from run to run; their results must not."""
    differing = set()
    for shape in ((2, 16, 12, 64, 4), (2, 64, 48, 64, 2), (3, 9, 12, 160, 10)):
        for dtype in DTYPES:
            for op, tensors, others in _inputs(shape, dtype, device):
                runs = [_results(op, tensors, others) for _ in range(3)]
                what = f"results of {op.__name__} {shape} in {dtype}"
                assert _same([out] for out, *_ in runs), f"{what} differ"
                if not _same(runs):
                    differing.add(op.__name__)
    return differing


def _results(op: Callable, tensors: tuple, others: tuple) -> list[torch.Tensor]:
    out = op(*tensors, *others)
    grads = torch.autograd.grad(out, tensors, out.detach())
    return [out.detach(), *grads]


def _same(runs: Iterable[list[torch.Tensor]]) -> bool:
    first, *others = runs
    return all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))


def check_built(device: torch.device) -> str:
    """See that the package as it is now has kernels for a device.

    Raises:
        AssertionError: it has none.
    """
    built = ", ".join(NATIVE_DEVICES) or "nothing"
    assert device.type in NATIVE_DEVICES, f"kernels are built for {built}, not for {device.type}"
    return f"kernels are built for {built}"


INSIDE = {
    "built": check_built,
    "exercise": exercise,
    "determinism": check_determinism,
}


# The parts


def _inside(name: str) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), "--inside", name]


def gpu_tests() -> list[str]:
    """The test files that hold GPU tests; others may need what is not installed."""
    files = sorted((REPOSITORY / "tests").rglob("test_*.py"))
    return [
        str(file.relative_to(REPOSITORY))
        for file in files
        if re.search(r"\bmark\.gpu\b", file.read_text(encoding="utf-8"))
    ]


def find_sanitizer() -> str | None:
    """compute-sanitizer's path: on the PATH, or in the CUDA toolkit."""
    folders = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    folders = [f"{folder}/bin" for folder in (*folders, "/usr/local/cuda") if folder]
    return shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path=os.pathsep.join(folders)
    )


def all_parts(folder: Path) -> list[Part]:
    """The parts in order, their limits under ten minutes together.

    Args:
        folder: where the benchmarks write.
    """
    python, sanitizer = sys.executable, find_sanitizer()
    built = shlex.join(_inside("built"))
    build = shlex.join([python, "setup.py", "build_ext", "--inplace"])
    parts = [
        Part("build", 85, ["sh", "-c", f"{built} || ({build} && {built})"]),
        Part(
            "tests",
            120,
            [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", *gpu_tests()],
            why_not="" if find_spec("pytest") else "pytest is not installed",
            needs=r"\d+ passed",
        ),
    ]
    for tool in ("memcheck", "racecheck"):
        command = [sanitizer or "", "--tool", tool, "--error-exitcode", "1", *_inside("exercise")]
        parts.append(
            Part(
                tool,
                50,
                command,
                why_not="" if sanitizer else "compute-sanitizer is not installed",
                # Else memory of a freed tensor stays valid, and a stray access is not seen.
                environment={"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
                skip_if="Device not supported",
            )
        )
    cublas = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # which PyTorch's deterministic mode asks for
    parts.append(Part("determinism", 30, _inside("determinism"), environment=cublas))
    ops = ["--presets", "small", "base", "--seconds", "0.05"]
    for dtype in ("float32", "float16"):
        parts.append(_benchmark(f"ops {dtype}", 70, folder, "ops", *ops, "--dtype", dtype))
    models = [*(f"hrvmamba_{arch}" for arch in ARCHS), "hrvmamba_small:reference"]
    if find_spec("mmpose"):
        models += ["hrnet_w32", "hrnet_w48", "hrformer_small", "hrformer_base"]
    models = ["--models", *models, "--seconds", "0.5"]
    parts.append(_benchmark("models batch 1", 35, folder, "model", *models))
    together = ["--batch", "32", "--amp", "--train"]
    parts.append(_benchmark("models batch 32", 50, folder, "model", *models, *together))
    return parts


def _benchmark(name: str, limit: float, folder: Path, which: str, *options: str) -> Part:
    result = folder / f"{name.replace(' ', '_')}.json"
    command = [sys.executable, "-m", "hrvmamba", "benchmark", which, "--device", "cuda"]
    command += ["--json", str(result), *options]
    return Part(name, limit, command, result=result)


def run_part(part: Part) -> Outcome:
    """Run a part within its limit. At its end a part gets Ctrl-C first, then it is killed."""
    if part.why_not:
        return Outcome(part.name, "skipped", 0.0, part.why_not)
    start = time.monotonic()
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    variables = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), **part.environment}
    with tempfile.TemporaryFile("w+", errors="replace") as printed:
        try:
            process = subprocess.Popen(
                part.command,
                cwd=REPOSITORY,
                env=os.environ | variables,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return Outcome(part.name, "failed", 0.0, str(error))
        late = _wait(process, part.limit)
        printed.seek(0)
        output = printed.read()
    seconds = time.monotonic() - start
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if late:
        return Outcome(part.name, "failed", seconds, f"over its {part.limit:g} s", output[-4000:])
    if process.returncode == 0 and re.search(part.needs, output):
        return Outcome(part.name, "passed", seconds, last)
    if part.skip_if and part.skip_if in output:
        return Outcome(part.name, "skipped", seconds, part.skip_if)
    detail = f"status {process.returncode}: {last}"
    return Outcome(part.name, "failed", seconds, detail, output[-4000:])


def _wait(process: subprocess.Popen, limit: float) -> bool:
    """Wait for a process and whatever it started; says whether it was late."""
    try:
        process.wait(limit)
        return False
    except subprocess.TimeoutExpired:
        return True
    finally:
        if process.poll() is None:
            _signal(process, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            _signal(process, signal.SIGKILL)
            process.wait()


def _signal(process: subprocess.Popen, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


# The report


def report_name(gpu: str, version: str) -> str:
    """nvidia-h100_torch-2.11 of NVIDIA H100 80GB HBM3 and 2.11.0+cu130."""
    words = [word for word in gpu.split() if not re.fullmatch(r"\d+GB|HBM\w*", word)]
    name = re.sub(r"-\d+gb$", "", re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()))
    return f"{name}_torch-{'.'.join(version.split('.')[:2])}"


def markdown(report: dict) -> str:
    """The report to be read: the parts, then a table for each benchmark."""
    machine = report["environment"]
    title = f"# {machine['device']}, torch {machine['torch']}, CUDA {machine['cuda']}"
    rows = [
        [part["name"], part["state"], f"{part['seconds']:.0f}", _plain(part["detail"])]
        for part in report["parts"]
    ]
    texts = [title, markdown_table(("part", "state", "s", "detail"), rows)]
    for name, result in report["benchmarks"].items():
        heading = f"## {name}"
        if result["interrupted"]:
            heading += " (cut short by its time limit)"
        texts += [heading, _settings(result)]
        if result["notes"]:
            texts.append("\n".join(f"- {_plain(note)}" for note in result["notes"]))
        for table in result["tables"]:
            texts += [table["title"], markdown_table(table["header"], table["rows"])]
    return "\n\n".join(texts) + "\n"


def _plain(text: str) -> str:
    return text.replace("|", "\\|")


def _settings(result: dict) -> str:
    said = [f"{key} {value}" for key, value in result["settings"].items()]
    if result.get("copy_gb_per_s"):
        said.append(f"a copy moves {result['copy_gb_per_s']:.0f} GB/s")
    return "; ".join(said)


def check(parts: list[Part], machine: dict, out: Path) -> bool:
    """Run the parts one by one, and write the report anew after each; says whether none failed.

    Args:
        parts: what to run.
        machine: what it runs on, of :func:`hrvmamba.analysis.timing.environment`.
        out: the report's path, without an ending.
    """
    report: dict = {"environment": machine, "passed": False, "parts": [], "benchmarks": {}}
    outcomes: list[Outcome] = []
    for part in parts:
        print(f"{part.name} ...", flush=True)
        outcome = run_part(part)
        outcomes.append(outcome)
        print(f"{part.name}: {outcome.state} in {outcome.seconds:.0f} s. {outcome.detail}")
        if outcome.output:
            print(outcome.output, flush=True)
        report["parts"].append(dataclasses.asdict(outcome))
        if part.result and part.result.exists():
            report["benchmarks"][part.name] = json.loads(part.result.read_text())
        whole = len(outcomes) == len(parts)
        report["passed"] = whole and all(outcome.state != "failed" for outcome in outcomes)
        for ending, text in (
            (".json", json.dumps(report, indent=1) + "\n"),
            (".md", markdown(report)),
        ):
            with whole_file(out.with_name(out.name + ending)) as partial:
                partial.write_text(text, encoding="utf-8")
    for state in ("failed", "skipped"):
        names = [outcome.name for outcome in outcomes if outcome.state == state]
        if names:
            print(f"{state}: {', '.join(names)}")
    print(f"{out}.json and .md: {'passed' if report['passed'] else 'FAILED'}")
    return report["passed"]


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        default=str(REPOSITORY / "benchmarks"),
        help="where the report goes (benchmarks/)",
    )
    parser.add_argument("--inside", choices=INSIDE, help=argparse.SUPPRESS)  # a part's own program
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, ``sys.argv`` if no arguments are given.

    Raises:
        SystemExit: with status 0 if no part failed, 1 if one did, and 2, after one line on stderr,
            if there is no GPU.
    """
    options = parse_arguments(arguments)
    try:
        device = find_device("cuda")
    except ValueError as error:
        refuse(f"gpu_check needs a CUDA device: {error}")
    if options.inside:
        check_built(device)  # else the reference would be checked
        print(INSIDE[options.inside](device))
        return
    machine = environment(device)
    del machine["native_ops"]  # this process knows nothing of what is built from here on
    out = Path(options.out, report_name(machine["device"], torch.__version__))
    with tempfile.TemporaryDirectory() as folder:
        passed = check(all_parts(Path(folder)), machine, out)
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
