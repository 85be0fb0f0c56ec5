"""Time whole backbones beside each other: HRVMamba, and MMPose's HRNet and HRFormer.

python tools/benchmark_model.py --models hrvmamba_small hrformer_small hrnet_w32 --batch 32
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hrvmamba.analysis import cost
from hrvmamba.analysis.timing import (
    environment,
    print_table,
    time_interleaved,
)
from hrvmamba.cli.errors import refuse
from hrvmamba.cli.measuring import (
    add_measuring_options,
    apply_measuring_options,
    end_measuring,
    write_report,
)
from hrvmamba.cli.whole_file import whole_file
from hrvmamba.models import HRVMamba
from hrvmamba.models.checks import MIN_SIZE
from hrvmamba.models.hrvmamba import ARCHS
from hrvmamba.ops import backend
from hrvmamba.ops.backend import NATIVE_DEVICES

OURS = tuple(f"hrvmamba_{arch}" for arch in ARCHS)
REFERENCE = ":reference"

# MMPose's configs, whose backbones are the peers.
CONFIGS = "mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_{}_coco-256x192.py"
PEERS = {
    "hrnet_w32": CONFIGS.format("hrnet-w32_8xb64-210e"),
    "hrnet_w48": CONFIGS.format("hrnet-w48_8xb32-210e"),
    "hrformer_small": CONFIGS.format("hrformer-small_8xb32-210e"),
    "hrformer_base": CONFIGS.format("hrformer-base_8xb32-210e"),
}

MODELS = (*OURS, *(name + REFERENCE for name in OURS), *PEERS)

PICTURES = (".png", ".pdf", ".svg")


def build(name: str) -> nn.Module:
    """Build a backbone with random weights, returning its finest map, as for pose."""
    if name in PEERS:
        from mmengine.hub import get_config
        from mmpose.registry import MODELS as REGISTRY

        config = get_config(PEERS[name]).model.backbone
        config.pop("init_cfg", None)  # nothing is downloaded
        if config.get("norm_cfg", {}).get("type") == "SyncBN":
            config.norm_cfg = {"type": "BN"}  # the same on one device
        with REGISTRY.switch_scope_and_registry("mmpose") as registry:
            return registry.build(config)
    return HRVMamba(name.removesuffix(REFERENCE).removeprefix("hrvmamba_"))


def ops_of(name: str) -> AbstractContextManager:
    """The context that a model's forward and backward pass run in."""
    return backend("reference") if name.endswith(REFERENCE) else nullcontext()


def count_macs(name: str, model: nn.Module, options: argparse.Namespace) -> int:
    """Multiply-accumulates for one image: ours as the paper counts, peers' by torch's counter."""
    if name not in PEERS:
        return cost(model, options.size).macs
    image = torch.zeros(1, 3, *options.size, device=options.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()  # some of MMPose's return None
        model(image)
    return counter.get_total_flops() // 2


def autocast(options: argparse.Namespace) -> AbstractContextManager:
    """Autocast if --amp asks for it: float16 on CUDA, bfloat16 on a CPU."""
    if not options.amp:
        return nullcontext()
    dtype = torch.float16 if options.device.type == "cuda" else torch.bfloat16
    return torch.autocast(options.device.type, dtype)


def inference(name: str, model: nn.Module, options: argparse.Namespace) -> Callable[[], object]:
    """What is timed: a batch through the model."""
    images = torch.randn(options.batch, 3, *options.size, device=options.device)

    def run() -> object:
        with ops_of(name), autocast(options), torch.no_grad():
            return model(images)

    return run


def training(name: str, model: nn.Module, options: argparse.Namespace) -> Callable[[], object]:
    """What is timed: forward and backward of a batch, with no loss, optimizer or data."""
    images = torch.randn(options.batch, 3, *options.size, device=options.device)
    with ops_of(name), autocast(options), torch.no_grad():
        grads = [torch.randn_like(map_) for map_ in model(images)]

    def run() -> None:
        model.zero_grad(set_to_none=True)
        with ops_of(name):
            with autocast(options):
                maps = model(images)
            torch.autograd.backward(maps, grads)

    return run


PASSES = {"inference": inference, "training": training}


# Memory


def peak_memory(name: str, which: str, options: argparse.Namespace) -> int | None:
    """Bytes that one pass of a model takes at most, its weights included; None if unknown.

    On CUDA, what PyTorch allocates. On a CPU, the growth of a process of its own.
    """
    if options.device.type == "cuda":
        return _cuda_peak(name, which, options)
    command = [sys.executable, str(Path(__file__).resolve()), "--peak-of", which, "--models", name]
    command += ["--batch", str(options.batch), "--size", "x".join(map(str, options.size))]
    command += ["--threads", str(torch.get_num_threads()), *(["--amp"] if options.amp else [])]
    done = subprocess.run(command, text=True, capture_output=True)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else None


def _cuda_peak(name: str, which: str, options: argparse.Namespace) -> int:
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(options.device)
    model = build(name).to(options.device)
    model.train(which == "training")
    run = PASSES[which](name, model, options)
    run()  # what libraries allocate once and for all comes here
    torch.cuda.reset_peak_memory_stats(options.device)
    run()
    torch.cuda.synchronize(options.device)
    return torch.cuda.max_memory_allocated(options.device) - before


def _cpu_peak(name: str, which: str, options: argparse.Namespace) -> int | None:
    """The growth of this process: Linux alone tells it."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def kilobytes(key: str) -> int:
        return int(re.search(rf"^{key}:\s+(\d+) kB", status.read_text(), re.MULTILINE)[1])

    if name in PEERS:
        import_module("mmpose.models")  # not to count the library itself
    try:
        before = kilobytes("VmRSS")
        model = build(name)
        model.train(which == "training")
        run = PASSES[which](name, model, options)
        reset.write_text("5")  # the peak so far is forgotten
        run()
        return 1024 * (kilobytes("VmHWM") - before)
    except (OSError, TypeError):
        return None


# Measuring


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def benchmark(options: argparse.Namespace, report: dict) -> None:
    """Fill the report's results and notes."""
    notes, rows = report["notes"], {}
    if options.device.type not in NATIVE_DEVICES:
        notes.append(f"no compiled ops for {options.device.type}: HRVMamba runs the reference")
    models = {}
    for name in options.models:
        try:
            model = build(name)
            model = model.to(options.device)
            rows[name] = {
                "model": name,
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "macs": count_macs(name, model, options),
                "macs_counted_by": "torch.utils.flop_counter / 2"
                if name in PEERS
                else "hrvmamba.analysis.cost",
            }
            models[name] = model
        except Exception as error:  # another library's model can fail in any way
            notes.append(f"{name} is not timed: {_first_line(error)}")
    report["results"] = list(rows.values())

    for which in ("inference", "training") if options.train else ("inference",):
        functions = {}
        for name, model in models.items():
            try:
                rows[name][f"{which}_peak_bytes"] = peak_memory(name, which, options)
                model.train(which == "training")
                compiled = torch.compile(model) if options.compile else model
                function = PASSES[which](name, compiled, options)
                function()
                if options.device.type == "cuda":
                    torch.cuda.synchronize()  # errors of kernels come late
                functions[name] = function
            except Exception as error:  # too little memory, most often
                notes.append(f"{name}: no {which}: {_first_line(error)}")
        rounds = time_interleaved(functions, options.device, options.seconds, options.rounds)
        for timings in rounds:  # each is kept, so that an interruption loses one round alone
            for name, timing in timings.items():
                speed = {"images_per_s": options.batch / timing.median}
                rows[name][which] = timing.as_dict() | speed


# What is written


def table(results: list[dict], train: bool) -> tuple[list[str], list[list[str]]]:
    """The printed table's header and rows; '-' is what was not measured."""
    header = ["model", "parameters", "GMACs", "ms", "spread", "images/s", "MiB"]
    if train:
        header += ["training ms", "spread", "training images/s", "training MiB"]
    rows = []
    for result in results:
        cells = [
            result["model"],
            f"{result['parameters'] / 1e6:.2f} M",
            f"{result['macs'] / 1e9:.2f}",
        ]
        for which in ("inference", "training") if train else ("inference",):
            timing, peak = result.get(which), result.get(f"{which}_peak_bytes")
            cells += ["-"] * 3 if timing is None else _timing_cells(timing)
            cells.append("-" if peak is None else f"{peak / 2**20:.0f}")
        rows.append(cells)
    return header, rows


def _timing_cells(timing: dict) -> list[str]:
    return [
        f"{timing['median_s'] * 1e3:.2f}",
        f"{timing['spread']:.0%}",
        f"{timing['images_per_s']:.1f}",
    ]


def draw(path: Path, report: dict) -> None:
    """Draw latency against multiply-accumulates, both on a logarithmic scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(8, 5.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    families: dict[str, list[dict]] = {}
    for result in report["results"]:
        if "inference" in result:
            family = result["model"].partition("_")[0]
            family += REFERENCE if result["model"].endswith(REFERENCE) else ""
            families.setdefault(family, []).append(result)
    for family, results in families.items():
        results.sort(key=lambda result: result["macs"])
        macs = [result["macs"] / 1e9 for result in results]
        times = [result["inference"]["median_s"] * 1e3 for result in results]
        axis.plot(macs, times, marker="o", lw=1.2, label=family)
        for x, y, result in zip(macs, times, results, strict=True):
            axis.annotate(result["model"], (x, y), (5, 5), textcoords="offset points", fontsize=8)
    for scale, edges in ((axis.xaxis, axis.set_xscale), (axis.yaxis, axis.set_yscale)):
        edges("log")
        scale.set_major_locator(LogLocator(subs=(1, 2, 5)))
        scale.set_major_formatter(StrMethodFormatter("{x:g}"))
        scale.set_minor_formatter(NullFormatter())
    axis.margins(x=0.15, y=0.1)
    settings, machine = report["settings"], report["environment"]
    height, width = settings["size"]
    axis.set_xlabel("GMACs (HRVMamba: hrvmamba.analysis.cost; others: torch's FLOP counter / 2)")
    axis.set_ylabel(f"latency of a batch of {settings['batch']} at {height}x{width} [ms]")
    axis.set_title(f"{machine['device']}, torch {machine['torch']}{_variant(settings)}")
    axis.grid(True, which="both", alpha=0.25)
    if families:
        axis.legend()
    with whole_file(path) as partial:
        figure.savefig(partial, format=path.suffix[1:])


def _variant(settings: dict) -> str:
    return "".join(f", {name}" for name in ("amp", "compile") if settings[name])


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="MODEL",
        default=["hrvmamba_small", "hrformer_small", "hrnet_w32"],
        help=f"among {', '.join((*OURS, *PEERS))}; '{REFERENCE}' behind one of the first makes it "
        "run in plain PyTorch (%(default)s)",
    )
    parser.add_argument("--batch", type=int, default=1, help="images (%(default)s)")
    parser.add_argument("--size", default="256x192", help="height x width (%(default)s)")
    parser.add_argument(
        "--amp", action="store_true", help="autocast: float16 on CUDA, bfloat16 on a CPU"
    )
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.add_argument(
        "--train", action="store_true", help="time forward and backward in training mode as well"
    )
    add_measuring_options(parser, seconds=2.0)
    parser.add_argument("--plot", metavar="PATH", help="draw latency against GMACs")
    parser.add_argument("--peak-of", choices=PASSES, help=argparse.SUPPRESS)  # see peak_memory
    return parser.parse_args(arguments)


def check(options: argparse.Namespace) -> None:
    """Check the command line before anything is measured, and set threads and seed.

    Raises:
        ValueError: an option is out of its range, or needs what is not installed.
    """
    for name in options.models:
        if name not in MODELS:
            raise ValueError(f"--models: unknown {name!r}; there are {', '.join(MODELS)}")
        if name in PEERS and not find_spec("mmpose"):
            raise ValueError(f"--models: {name} is MMPose's, which is not installed")
    options.models = list(dict.fromkeys(options.models))
    size = re.fullmatch(r"(\d+)x(\d+)", options.size)
    if not size or min(map(int, size.groups())) < MIN_SIZE:
        raise ValueError(
            f"--size: got {options.size}, needs HEIGHTxWIDTH, each {MIN_SIZE} at least"
        )
    options.size = tuple(map(int, size.groups()))
    if options.batch < 1:
        raise ValueError(f"--batch: got {options.batch}, needs at least 1")
    if options.plot and Path(options.plot).is_dir():
        raise ValueError(f"--plot: {options.plot} is a folder: name a file in it")
    if options.plot and Path(options.plot).suffix not in PICTURES:
        raise ValueError(f"--plot: {options.plot} must end in {', '.join(PICTURES)}")
    if options.plot and not find_spec("matplotlib"):
        raise ValueError("--plot needs matplotlib, which is not installed")
    apply_measuring_options(options)


def write(options: argparse.Namespace, report: dict) -> None:
    """Print the table and the notes, and write the files that are asked for.

    Raises:
        OSError: a file cannot be written.
    """
    for note in report["notes"]:
        print(f"note: {note}")
    height, width = options.size
    title = f"{report['environment']['device']}, torch {torch.__version__}, {height}x{width}, "
    title += f"batch {options.batch}{_variant(report['settings'])}"
    if options.train:
        title += "; training is forward and backward, nothing else"
    header, rows = table(report["results"], options.train)
    report["tables"].append({"title": title, "header": header, "rows": rows})
    print_table(title, header, rows)
    if options.json:
        write_report(options.json, report)
        print(f"{options.json}: {len(report['results'])} models")
    if options.plot:
        draw(Path(options.plot), report)
        print(f"{options.plot}: latency against GMACs")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, ``sys.argv`` if no arguments are given.

    Raises:
        SystemExit: with status 2, after one line on stderr, if an argument is refused; with status
            130 if interrupted, after writing what was measured.
    """
    options = parse_arguments(arguments)
    try:
        check(options)
    except ValueError as error:
        refuse(error)
    if options.peak_of:
        print(_cpu_peak(options.models[0], options.peak_of, options) or "")
        return
    settings = ("batch", "size", "amp", "compile", "train", "seconds", "rounds")
    report: dict[str, Any] = {
        "benchmark": "model",
        "environment": environment(options.device),
        "settings": {name: getattr(options, name) for name in settings},
        "training": "forward and backward, without loss, optimizer or data",
        "interrupted": False,
        "notes": [],
        "results": [],
        "tables": [],
    }
    try:
        benchmark(options, report)
    except KeyboardInterrupt:
        report["interrupted"] = True
    try:
        write(options, report)
    except OSError as error:
        refuse(error)
    end_measuring(report)


if __name__ == "__main__":
    main()
