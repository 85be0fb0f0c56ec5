"""What the benchmarks' command lines share: how to measure, and where to write it."""

import argparse
import json
from pathlib import Path

import torch

from hrvmamba.analysis.timing import MIN_ROUNDS, find_device
from hrvmamba.cli.whole_file import whole_file


def add_measuring_options(parser: argparse.ArgumentParser, seconds: float) -> None:
    """Add --device, --threads, --seconds, --rounds and --json.

    Args:
        parser: a program's parser.
        seconds: the time for a measurement where none is given.
    """
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    parser.add_argument("--threads", type=int, help="of the CPU (PyTorch's choice)")
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="for each measurement (%(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=10, help="at most; what is slow takes 3 (%(default)s)"
    )
    parser.add_argument("--json", metavar="PATH", help="write all measurements to this file")


def apply_measuring_options(options: argparse.Namespace) -> None:
    """Check those options, find the device, and set threads and seed.

    Raises:
        ValueError: an option is out of its range.
    """
    if options.threads is not None and options.threads < 1:
        raise ValueError(f"--threads: got {options.threads}, needs at least 1")
    if options.rounds < MIN_ROUNDS:
        raise ValueError(f"--rounds: got {options.rounds}, needs at least {MIN_ROUNDS}")
    if options.seconds <= 0:
        raise ValueError(f"--seconds: got {options.seconds}, needs more than 0")
    if options.json and Path(options.json).is_dir():
        raise ValueError(f"--json: {options.json} is a folder: name a file in it")
    options.device = find_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)


def write_report(path: str, report: dict) -> None:
    """Write a report as JSON, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(Path(path)) as partial:
        partial.write_text(json.dumps(report, indent=1) + "\n")


def end_measuring(report: dict) -> None:
    """End the program with status 130 if the measuring was interrupted."""
    if report["interrupted"]:
        print("interrupted: what was measured until then is kept")
        raise SystemExit(130)
