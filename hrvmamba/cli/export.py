"""`hrvmamba export`: a pose model as an ONNX file, by :mod:`hrvmamba.export.pose_export`."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from hrvmamba.cli.errors import refuse

if TYPE_CHECKING:
    from hrvmamba.export.pose_export import PoseExport

HELP = "write a pose model to an ONNX file or a torch.export program, and check it"

EXAMPLES = """
# a file that `hrvmamba infer --onnx model.onnx` runs without PyTorch
hrvmamba export --config CONFIG --checkpoint CHECKPOINT --out model.onnx

# half the size, for GPUs
hrvmamba export --config CONFIG --checkpoint CHECKPOINT --out model.onnx --fp16

# a program of torch.export
hrvmamba export --config CONFIG --checkpoint CHECKPOINT --out model.pt2

# random weights: how quick is it on one core?
hrvmamba export --config CONFIG --out model.onnx --threads 1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hrvmamba export`."""
    parser.add_argument(
        "--config",
        required=True,
        help="an MMPose config of a top-down heatmap model: a file, or a name such as "
        "hrvmamba-small",
    )
    parser.add_argument(
        "--checkpoint", help="of its model, ours or the authors' (weights are random)"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="to write, .onnx or .pt2")
    parser.add_argument(
        "--fp16",
        action="store_true",
        help="16-bit weights and activations of an .onnx file; input, output, sampling and scans "
        "stay 32-bit",
    )
    parser.add_argument("--opset", type=int, help="of an .onnx file's operators, 17 to 20 (17)")
    parser.add_argument("--threads", type=int, help="of the CPU, to time with (PyTorch's choice)")


def run(options: argparse.Namespace) -> int:
    """Export, check, and print how large, right and quick the file is.

    The status is 1 if the file did not compute what PyTorch does.
    """
    if options.threads is not None and options.threads < 1:
        refuse(f"--threads: got {options.threads}, needs at least 1")
    try:
        import torch

        from hrvmamba.export.pose_export import DisagreementError, export_pose, randomise
        from hrvmamba.inference.pose_inferencer import PoseInferencer
    except ImportError as error:
        refuse(f"this needs MMPose's stack, see `hrvmamba check`: {error}")

    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="no checkpoint")
            infer = PoseInferencer(options.config, options.checkpoint)
        if options.checkpoint is None:
            print("no checkpoint: the weights are random, the file is for timing alone")
            randomise(infer)
        done = export_pose(
            infer,
            Path(options.out),
            half=options.fp16,
            opset=options.opset,
            tell=lambda step: print(f"{step} ...", flush=True),
        )
    except DisagreementError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (ImportError, ValueError, OSError) as error:
        refuse(error)
    _show(done)
    return 0


def _show(done: PoseExport) -> None:
    from hrvmamba.analysis.timing import print_table

    one_crop = [f"{timing.median * 1e3:.1f}" for timing in done.timings.values()]
    print_table(
        f"{done.path}",
        ["MB", "opset", "nodes", "export s", *(f"{name}, ms" for name in done.timings)],
        [
            [
                f"{done.size / 1e6:.1f}",
                str(done.opset or "-"),
                str(done.nodes),
                f"{done.seconds:.1f}",
                *one_crop,
            ]
        ],
    )
    print(f"agreement with PyTorch: {done.agreement}")
    print(f"needed:                 {done.tolerance}")
