"""Timing functions side by side, and saying on what they ran."""

import dataclasses
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch

import hrvmamba
from hrvmamba.ops.backend import NATIVE_DEVICES

MIN_ROUNDS = 3

_MAX_CALLS = 1000  # in one round
_COPY_BYTES = {"cpu": 2**28, "cuda": 2**30}  # beyond the caches


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimingSettings:
    """How to time.

    Attributes:
        device: where to.
        seconds: for each measurement; what is slow takes more.
        rounds: of a measurement, at most.

    Raises:
        ValueError: a value is out of its range.
    """

    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))
    seconds: float = 0.5
    rounds: int = 10

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError(f"seconds must be more than 0, got {self.seconds}")
        if self.rounds < MIN_ROUNDS:
            raise ValueError(f"rounds must be at least {MIN_ROUNDS}, got {self.rounds}")


@dataclasses.dataclass(frozen=True)
class Timing:
    """How long a function took.

    Attributes:
        rounds: seconds for one call, from each round.
        calls: how often the function was called in a round.
    """

    rounds: tuple[float, ...]
    calls: int

    @property
    def median(self) -> float:
        """The median of the rounds, in seconds."""
        return statistics.median(self.rounds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper quartile of the rounds, in seconds."""
        if len(self.rounds) == 1:
            return self.rounds[0], self.rounds[0]
        lower, _, upper = statistics.quantiles(self.rounds, n=4, method="inclusive")
        return lower, upper

    @property
    def spread(self) -> float:
        """The distance between the quartiles, as a share of the median."""
        lower, upper = self.quartiles
        return (upper - lower) / self.median

    def as_dict(self) -> dict[str, float | int]:
        """The timing as JSON takes it."""
        lower, upper = self.quartiles
        return {
            "median_s": self.median,
            "lower_quartile_s": lower,
            "upper_quartile_s": upper,
            "spread": self.spread,
            "rounds": len(self.rounds),
            "calls_per_round": self.calls,
        }


def time_interleaved(
    functions: Mapping[str, Callable[[], object]],
    device: torch.device,
    seconds: float,
    rounds: int,
) -> Iterator[dict[str, Timing]]:
    """Time functions in turn, round after round, so that what disturbs one disturbs all.

    Each is called once ahead, to see how often it fits into a round: warm it up before. On CUDA
    the time is the device's, between two events around a round's calls.

    Args:
        functions: what to time, by name.
        device: where they run.
        seconds: time to spend on each function. Slow ones take more: there are three rounds at
            least.
        rounds: rounds at most.

    Yields:
        After each round the timings so far, under the same names. The last ones are the result.

    Raises:
        ValueError: fewer than three rounds are allowed.
    """
    if rounds < MIN_ROUNDS:
        raise ValueError(f"rounds must be at least {MIN_ROUNDS}, got {rounds}")
    calls = {}
    for name, function in functions.items():
        once = _time(function, 1, device)
        calls[name] = min(_MAX_CALLS, max(1, math.floor(seconds / rounds / once)))
    timed: dict[str, list[float]] = {name: [] for name in functions}
    end = time.perf_counter() + seconds * len(functions)
    order = list(functions)
    for number in range(rounds):
        if number >= MIN_ROUNDS and time.perf_counter() > end:
            break
        for name in order:
            timed[name].append(_time(functions[name], calls[name], device))
        order.reverse()  # so that none always follows the same
        yield {name: Timing(tuple(timed[name]), calls[name]) for name in functions}


def _time(function: Callable[[], object], calls: int, device: torch.device) -> float:
    """Seconds for one call, from several in a row."""
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(calls):
            function()
        return (time.perf_counter() - start) / calls
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        for _ in range(calls):
            function()
        end.record()
        torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3 / calls


def copy_bandwidth(device: torch.device, seconds: float, rounds: int) -> float:
    """Bytes a second, read and written, that a copy larger than the caches moves."""
    source = torch.ones(_COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    copy = {"copy": lambda: target.copy_(source)}
    *_, timings = time_interleaved(copy, device, seconds, rounds)
    return 2 * source.numel() / timings["copy"].median


def find_device(name: str) -> torch.device:
    """The device of a name that PyTorch knows, its GPU number filled in.

    Raises:
        ValueError: this machine or this PyTorch has no such device.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in _COPY_BYTES:
        raise ValueError(f"the device must be cpu or cuda, got {name!r}")
    if device.type == "cuda":
        number = device.index or 0
        if number >= torch.cuda.device_count():
            raise ValueError(
                f"no {name}: PyTorch {torch.__version__} finds {torch.cuda.device_count()} GPUs"
            )
        device = torch.device("cuda", number)
    return device


def environment(device: torch.device) -> dict[str, object]:
    """What a benchmark ran on: device, versions, threads, and where the compiled ops run."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else _cpu_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "hrvmamba": hrvmamba.__version__,
        "native_ops": list(NATIVE_DEVICES),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def first_line(error: BaseException) -> str:
    """An error's type and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its first column to the left and the others to the right."""
    rules = [":--", *["--:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rules, *rows))


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: with rich where it is installed, else in Markdown."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(f"\n{title}\n\n{markdown_table(header, rows)}", flush=True)
        return
    console = Console()
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # A file or a pipe has no width of its own that columns would have to fit.
    Console(width=None if console.is_terminal else 200).print(table)
