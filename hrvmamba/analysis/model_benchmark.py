"""Timing whole backbones beside each other: HRVMamba, and MMPose's HRNet and HRFormer."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import hrvmamba
from hrvmamba.analysis import cost
from hrvmamba.analysis.timing import TimingSettings, environment, first_line, time_interleaved
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSettings(TimingSettings):
    """What to time, and how.

    Attributes:
        models: names among ``MODELS``; each is timed once.
        batch: images.
        size: height and width of an image.
        amp: under autocast, to float16 on CUDA and to bfloat16 on a CPU.
        compile: through torch.compile.
        train: forward and backward in training mode as well.

    Raises:
        ValueError: a value is out of its range, or needs what is not installed.
    """

    models: tuple[str, ...]
    batch: int = 1
    size: tuple[int, int] = (256, 192)
    amp: bool = False
    compile: bool = False
    train: bool = False
    seconds: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.models:
            if name not in MODELS:
                raise ValueError(f"unknown model {name!r}; there are {', '.join(MODELS)}")
            if name in PEERS and not find_spec("mmpose"):
                raise ValueError(f"the model {name} is MMPose's, which is not installed")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}")
        if min(self.size) < MIN_SIZE:
            raise ValueError(f"size must be {MIN_SIZE} at least on each side, got {self.size}")


def benchmark_models(settings: ModelSettings) -> dict:
    """Time models beside each other.

    Returns:
        A report that JSON takes: ``environment``, ``settings``, ``notes`` on what could not run,
        and ``results``, for each model its parameters and multiply-accumulates and, under
        ``inference`` and ``training``, its timing; ``tables`` shows them. Ctrl-C ends it:
        ``interrupted`` is then True, and what was measured is kept.
    """
    kept = ("batch", "size", "amp", "compile", "train", "seconds", "rounds")
    report = {
        "benchmark": "model",
        "environment": environment(settings.device),
        "settings": {name: getattr(settings, name) for name in kept},
        "training": "forward and backward, without loss, optimizer or data",
        "interrupted": False,
        "notes": [],
        "results": [],
    }
    try:
        _measure(settings, report)
    except KeyboardInterrupt:
        report["interrupted"] = True
    report["tables"] = [_table(report)]
    return report


def variant(settings: dict) -> str:
    """What a report's settings change in how the models run, for titles."""
    return "".join(f", {name}" for name in ("amp", "compile") if settings[name])


# The models


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


def count_macs(name: str, model: nn.Module, settings: ModelSettings) -> int:
    """Multiply-accumulates for one image: ours as the paper counts, peers' by torch's counter."""
    if name not in PEERS:
        return cost(model, settings.size).macs
    image = torch.zeros(1, 3, *settings.size, device=settings.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()  # some of MMPose's return None
        model(image)
    return counter.get_total_flops() // 2


def autocast(settings: ModelSettings) -> AbstractContextManager:
    """Autocast if the settings ask for it: float16 on CUDA, bfloat16 on a CPU."""
    if not settings.amp:
        return nullcontext()
    dtype = torch.float16 if settings.device.type == "cuda" else torch.bfloat16
    return torch.autocast(settings.device.type, dtype)


def inference(name: str, model: nn.Module, settings: ModelSettings) -> Callable[[], object]:
    """What is timed: a batch through the model."""
    images = torch.randn(settings.batch, 3, *settings.size, device=settings.device)

    def run() -> object:
        with ops_of(name), autocast(settings), torch.no_grad():
            return model(images)

    return run


def training(name: str, model: nn.Module, settings: ModelSettings) -> Callable[[], object]:
    """What is timed: forward and backward of a batch, with no loss, optimizer or data."""
    images = torch.randn(settings.batch, 3, *settings.size, device=settings.device)
    with ops_of(name), autocast(settings), torch.no_grad():
        grads = [torch.randn_like(map_) for map_ in model(images)]

    def run() -> None:
        model.zero_grad(set_to_none=True)
        with ops_of(name):
            with autocast(settings):
                maps = model(images)
            torch.autograd.backward(maps, grads)

    return run


PASSES = {"inference": inference, "training": training}


# Memory


def peak_memory(name: str, which: str, settings: ModelSettings) -> int | None:
    """Bytes that one pass of a model takes at most, its weights included; None if unknown.

    On CUDA, what PyTorch allocates. On a CPU, the growth of a process of its own.
    """
    if settings.device.type == "cuda":
        return _cuda_peak(name, which, settings)
    one = dataclasses.asdict(settings) | {"models": [name], "device": "cpu"}
    arguments = [which, str(torch.get_num_threads()), json.dumps(one)]
    paths = [str(Path(hrvmamba.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", _PEAK_PROGRAM, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        text=True,
        capture_output=True,
    )
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else None


_PEAK_PROGRAM = """
import json, sys, torch
from hrvmamba.analysis.model_benchmark import ModelSettings, cpu_peak
which, threads, settings = sys.argv[1:]
torch.set_num_threads(int(threads))
settings = json.loads(settings)
settings |= {"device": torch.device("cpu"), "size": tuple(settings["size"])}
print(cpu_peak(settings["models"][0], which, ModelSettings(**settings)))
"""


def _cuda_peak(name: str, which: str, settings: ModelSettings) -> int:
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(settings.device)
    model = build(name).to(settings.device)
    model.train(which == "training")
    run = PASSES[which](name, model, settings)
    run()  # what libraries allocate once and for all comes here
    torch.cuda.reset_peak_memory_stats(settings.device)
    run()
    torch.cuda.synchronize(settings.device)
    return torch.cuda.max_memory_allocated(settings.device) - before


def cpu_peak(name: str, which: str, settings: ModelSettings) -> int | None:
    """The growth of this process by one pass, in bytes; None where the system does not tell it."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def kilobytes(key: str) -> int:
        return int(re.search(rf"^{key}:\s+(\d+) kB", status.read_text(), re.MULTILINE)[1])

    if name in PEERS:
        import_module("mmpose.models")  # not to count the library itself
    try:
        before = kilobytes("VmRSS")
        model = build(name)
        model.train(which == "training")
        run = PASSES[which](name, model, settings)
        reset.write_text("5")  # the peak so far is forgotten
        run()
        return 1024 * (kilobytes("VmHWM") - before)
    except (OSError, TypeError):
        return None


# Measuring


def _measure(settings: ModelSettings, report: dict) -> None:
    """Fill the report's results and notes."""
    notes, rows = report["notes"], {}
    if settings.device.type not in NATIVE_DEVICES:
        notes.append(f"no compiled ops for {settings.device.type}: HRVMamba runs the reference")
    models = {}
    for name in dict.fromkeys(settings.models):
        try:
            model = build(name)
            model = model.to(settings.device)
            rows[name] = {
                "model": name,
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "macs": count_macs(name, model, settings),
                "macs_counted_by": "torch.utils.flop_counter / 2"
                if name in PEERS
                else "hrvmamba.analysis.cost",
            }
            models[name] = model
        except Exception as error:  # another library's model can fail in any way
            notes.append(f"{name} is not timed: {first_line(error)}")
    report["results"] = list(rows.values())

    for which in ("inference", "training") if settings.train else ("inference",):
        functions = {}
        for name, model in models.items():
            try:
                rows[name][f"{which}_peak_bytes"] = peak_memory(name, which, settings)
                model.train(which == "training")
                compiled = torch.compile(model) if settings.compile else model
                function = PASSES[which](name, compiled, settings)
                function()
                if settings.device.type == "cuda":
                    torch.cuda.synchronize()  # errors of kernels come late
                functions[name] = function
            except Exception as error:  # too little memory, most often
                notes.append(f"{name}: no {which}: {first_line(error)}")
        rounds = time_interleaved(functions, settings.device, settings.seconds, settings.rounds)
        for timings in rounds:  # each is kept, so that an interruption loses one round alone
            for name, timing in timings.items():
                speed = {"images_per_s": settings.batch / timing.median}
                rows[name][which] = timing.as_dict() | speed


# The table


def _table(report: dict) -> dict:
    """The report's table: title, header and rows, where '-' is what was not measured."""
    settings, machine = report["settings"], report["environment"]
    height, width = settings["size"]
    title = f"{machine['device']}, torch {machine['torch']}, {height}x{width}, "
    title += f"batch {settings['batch']}{variant(settings)}"
    if settings["train"]:
        title += "; training is forward and backward, nothing else"
    header = ["model", "parameters", "GMACs", "ms", "spread", "images/s", "MiB"]
    if settings["train"]:
        header += ["training ms", "spread", "training images/s", "training MiB"]
    rows = []
    for result in report["results"]:
        cells = [
            result["model"],
            f"{result['parameters'] / 1e6:.2f} M",
            f"{result['macs'] / 1e9:.2f}",
        ]
        for which in ("inference", "training") if settings["train"] else ("inference",):
            timing, peak = result.get(which), result.get(f"{which}_peak_bytes")
            cells += ["-"] * 3 if timing is None else _timing_cells(timing)
            cells.append("-" if peak is None else f"{peak / 2**20:.0f}")
        rows.append(cells)
    return {"title": title, "header": header, "rows": rows}


def _timing_cells(timing: dict) -> list[str]:
    return [
        f"{timing['median_s'] * 1e3:.2f}",
        f"{timing['spread']:.0%}",
        f"{timing['images_per_s']:.1f}",
    ]
