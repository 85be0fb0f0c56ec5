"""What commands that time share: how to measure, and where to write it."""

import argparse
import json
from pathlib import Path

from hrvmamba.whole_file import whole_file


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


def measuring_settings(options: argparse.Namespace) -> dict[str, object]:
    """Set threads and seed, and return the fields of ``hrvmamba.analysis.timing.TimingSettings``.

    Raises:
        ValueError: an option is out of its range.
    """
    import torch

    from hrvmamba.analysis.timing import find_device

    if options.threads is not None and options.threads < 1:
        raise ValueError(f"--threads: got {options.threads}, needs at least 1")
    if options.json and Path(options.json).is_dir():
        raise ValueError(f"--json: {options.json} is a folder: name a file in it")
    device = find_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    return {"device": device, "seconds": options.seconds, "rounds": options.rounds}


def write_report(path: str, report: dict) -> None:
    """Write a report as JSON, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(Path(path)) as partial:
        partial.write_text(json.dumps(report, indent=1) + "\n")
