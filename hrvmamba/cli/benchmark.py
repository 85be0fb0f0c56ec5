"""`hrvmamba benchmark`: by model_benchmark.py and op_benchmark.py of :mod:`hrvmamba.analysis`."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from hrvmamba.cli.errors import refuse
from hrvmamba.cli.measuring import add_measuring_options, measuring_settings, write_report
from hrvmamba.whole_file import whole_file

HELP = "time whole backbones, or the operators, on this machine"

EXAMPLES = """
hrvmamba benchmark model --models hrvmamba_small hrnet_w32        # HRFormer and HRNet are MMPose's
hrvmamba benchmark model --batch 32 --device cuda --amp --train --json models.json --plot models.png
hrvmamba benchmark ops --presets small --batch 1 32 --device cuda --dtype float16
"""

_PICTURES = (".png", ".pdf", ".svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `model` and `ops`, with the arguments of each."""
    kinds = parser.add_subparsers(title="what to time", metavar="WHAT", required=True)
    _add_model(kinds.add_parser("model", help="whole backbones beside each other"))
    _add_ops(kinds.add_parser("ops", help="the operators and the DSS2D layer beside peers"))


def run(options: argparse.Namespace) -> int:
    """Time what is asked for, and write the report; an interruption keeps what was measured."""
    return options.benchmark(options)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="MODEL",
        default=["hrvmamba_small", "hrformer_small", "hrnet_w32"],
        help="hrvmamba_nano, _tiny, _small, _base (':reference' behind one makes it run in plain "
        "PyTorch), hrnet_w32, hrnet_w48, hrformer_small, hrformer_base (%(default)s)",
    )
    parser.add_argument("--batch", type=int, default=1, help="images (%(default)s)")
    parser.add_argument(
        "--size", metavar="HxW", default="256x192", help="height x width (%(default)s)"
    )
    parser.add_argument(
        "--amp", action="store_true", help="autocast: float16 on CUDA, bfloat16 on a CPU"
    )
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.add_argument(
        "--train", action="store_true", help="time forward and backward in training mode as well"
    )
    parser.add_argument("--plot", metavar="PATH", help="draw latency against GMACs")
    add_measuring_options(parser, seconds=2.0)
    parser.set_defaults(benchmark=_benchmark_models)


def _add_ops(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--presets",
        nargs="+",
        metavar="PRESET",
        default=["nano", "tiny", "small", "base"],
        help="(%(default)s)",
    )
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 32], help="(%(default)s)")
    dtypes = ["float32", "float16", "bfloat16"]
    parser.add_argument("--dtype", choices=dtypes, default=dtypes[0], help="(%(default)s)")
    add_measuring_options(parser, seconds=0.5)
    parser.set_defaults(benchmark=_benchmark_ops)


def _benchmark_models(options: argparse.Namespace) -> int:
    from hrvmamba.analysis.model_benchmark import ModelSettings, benchmark_models
    from hrvmamba.analysis.timing import print_table
    from hrvmamba.cli.sizes import parse_size

    try:
        if options.plot:
            _check_plot(options.plot)
        settings = ModelSettings(
            models=tuple(options.models),
            batch=options.batch,
            size=parse_size(options.size),
            amp=options.amp,
            compile=options.compile,
            train=options.train,
            **measuring_settings(options),
        )
    except ValueError as error:
        refuse(error)
    report = benchmark_models(settings)
    for note in report["notes"]:
        print(f"note: {note}")
    for table in report["tables"]:
        print_table(**table)
    return _end(report, options)


def _benchmark_ops(options: argparse.Namespace) -> int:
    from hrvmamba.analysis.op_benchmark import OpSettings, benchmark_ops

    try:
        settings = OpSettings(
            presets=tuple(options.presets),
            batches=tuple(options.batch),
            dtype=options.dtype,
            **measuring_settings(options),
        )
    except ValueError as error:
        refuse(error)
    return _end(benchmark_ops(settings), options)


def _check_plot(path: str) -> None:
    if Path(path).is_dir():
        raise ValueError(f"--plot: {path} is a folder: name a file in it")
    if Path(path).suffix not in _PICTURES:
        raise ValueError(f"--plot: {path} must end in {', '.join(_PICTURES)}")
    if not find_spec("matplotlib"):
        raise ValueError("--plot needs matplotlib, which is not installed")


def _end(report: dict, options: argparse.Namespace) -> int:
    """Write the files that are asked for, and say how it ended."""
    from hrvmamba.cli.main import INTERRUPTED

    try:
        if options.json:
            write_report(options.json, report)
            print(f"{options.json}: {len(report['results'])} measurements")
        if getattr(options, "plot", None):
            from hrvmamba.analysis.latency_figure import latency_figure

            figure = latency_figure(report)
            with whole_file(Path(options.plot)) as partial:
                figure.savefig(partial, format=Path(options.plot).suffix[1:])
            print(f"{options.plot}: latency against GMACs")
    except OSError as error:
        refuse(error)
    if report["interrupted"]:
        print("interrupted: what was measured until then is kept")
        return INTERRUPTED
    return 0
