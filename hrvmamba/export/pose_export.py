"""Exporting the model of a pose config, and checking the file."""

import dataclasses
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from hrvmamba.analysis.timing import Timing, first_line, time_interleaved
from hrvmamba.export.agreement import FLOAT, HALF, Agreement, Tolerance
from hrvmamba.export.calibration import calibrate_norms
from hrvmamba.export.config_card import config_card
from hrvmamba.inference.onnx_pose_inferencer import open_session
from hrvmamba.inference.pose_card import PoseCard
from hrvmamba.inference.pose_inferencer import PoseInferencer
from hrvmamba.ops.backend import MISSING_KERNELS
from hrvmamba.whole_file import whole_file

SUFFIXES = (".onnx", ".pt2")
"""An ONNX file, or a program of torch.export."""

INPUT, OUTPUT = "images", "heatmaps"

CARD_FILE = "pose_card.json"
"""The extra file of a program that holds its card."""

DEFAULT_OPSET = 17
"""The oldest that there is exporting to, which most runtimes know."""

_TRACED_BATCH = 2
_CHECKED_BATCHES = (1, 3)
_CALIBRATION_BATCH = 4
_CPU = torch.device("cpu")


class DisagreementError(ValueError):
    """An exported model whose heatmaps are not PyTorch's."""


@dataclasses.dataclass(frozen=True)
class PoseExport:
    """An exported model.

    Attributes:
        path: the file.
        opset: of an ONNX file's operators; None for a program.
        size: in bytes.
        nodes: of its graph.
        seconds: that the export took, without the check.
        agreement: of its heatmaps with PyTorch's.
        tolerance: that it is within.
        timings: of one crop on the CPU, with as many threads, by what ran it.
    """

    path: Path
    opset: int | None
    size: int
    nodes: int
    seconds: float
    agreement: Agreement
    tolerance: Tolerance
    timings: dict[str, Timing]


def export_pose(
    infer: PoseInferencer,
    path: Path,
    *,
    half: bool = False,
    opset: int | None = None,
    timing_seconds: float = 1.0,
    tell: Callable[[str], None] = lambda step: None,
) -> PoseExport:
    """Export backbone and head of a pose model to a file, and check what the file computes.

    The input is ``images``, ``(B, 3, H, W)``, float32: normalised crops. The output is
    ``heatmaps``, ``(B, K, h, w)``, float32. B is free. How to make the one and read the other is
    in the file, as the properties of a :class:`~hrvmamba.inference.pose_card.PoseCard`: in an ONNX
    file's metadata, in a program's extra file ``pose_card.json``.

    A file that does not agree with PyTorch is not kept.

    Args:
        infer: has the model, on the CPU.
        path: the file to write, of one of ``SUFFIXES``. A program, .pt2, calls the compiled ops
            where they are built: ``import hrvmamba.ops`` ahead of loading it.
        half: 16-bit weights and activations, of ONNX files alone. The input, the output, the
            sampling and the scans stay 32-bit.
        opset: of ONNX's standard operators, of ONNX files alone; None is ``DEFAULT_OPSET``.
        timing_seconds: to time the file, and PyTorch beside it.
        tell: is told each step that begins.

    Raises:
        ImportError: onnx or onnxruntime is not installed.
        DisagreementError: the file does not compute what PyTorch does.
        ValueError: there is no exporting this model, or to such a file or opset.
        OSError: the file cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"the file to write must end in {' or '.join(SUFFIXES)}, got {path}")
    onnx = path.suffix == ".onnx"
    if half and not onnx:
        raise ValueError(f"16 bits are for .onnx files alone, got {path}")
    if opset is not None and not onnx:
        raise ValueError(f"an opset is for .onnx files alone, got {path}")
    if onnx and opset is None:
        opset = DEFAULT_OPSET
    card = config_card(infer)
    network = _PoseNetwork(infer.model).eval()
    example, *checked = (_crops(batch, card) for batch in (_TRACED_BATCH, *_CHECKED_BATCHES))

    with torch.no_grad(), whole_file(path) as partial:
        tell("exporting")
        start = time.perf_counter()
        if onnx:
            nodes = _write_onnx(partial, network, example, card, opset, half)
        else:
            nodes = _write_program(partial, network, example, card)
        seconds = time.perf_counter() - start
        size = partial.stat().st_size

        tell("comparing with PyTorch")
        runtime, run = _onnx_runner(partial) if onnx else _program_runner(partial)
        expected = np.concatenate([network(crops).numpy() for crops in checked])
        agreement = Agreement.of(np.concatenate([run(crops) for crops in checked]), expected)
        tolerance = HALF if half else FLOAT
        if not agreement.within(tolerance):
            raise DisagreementError(
                f"{path} is not kept: it does not compute what PyTorch does: {agreement}; needed: "
                f"{tolerance}"
            )

        tell("timing")
        functions = {
            f"PyTorch {torch.__version__}": lambda: network(checked[0]),
            runtime: lambda: run(checked[0]),
        }
        *_, timings = time_interleaved(functions, _CPU, timing_seconds, rounds=5)
    return PoseExport(path, opset, size, nodes, seconds, agreement, tolerance, timings)


def randomise(infer: PoseInferencer) -> None:
    """Give a model without a checkpoint weights with which every operator counts.

    Its initial ones would check little: offsets and masks of the sampling are zero. These are small
    enough for rounding errors not to grow from block to block.
    """
    for module in infer.model.modules():
        if isinstance(module, nn.Linear | _ConvNd):
            nn.init.normal_(module.weight, std=0.5 * module.weight[0].numel() ** -0.5)
    calibrate_norms(
        _PoseNetwork(infer.model).eval(), _crops(_CALIBRATION_BATCH, config_card(infer))
    )


class _PoseNetwork(nn.Module):
    """Backbone, neck and head of a pose model, from crops to heatmaps."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images, None, mode="tensor")


def _crops(batch: int, card: PoseCard) -> Tensor:
    """Something like normalised crops: noise, smooth in part, of the same numbers every time."""
    width, height = card.input_size
    generator = torch.Generator().manual_seed(batch)
    coarse = torch.randn(batch, 3, height // 8, width // 8, generator=generator)
    smooth = F.interpolate(coarse, size=(height, width), mode="bilinear")
    return smooth + 0.3 * torch.randn(smooth.shape, generator=generator)


# ONNX


def _write_onnx(
    path: Path, network: nn.Module, example: Tensor, card: PoseCard, opset: int, half: bool
) -> int:
    """Write an ONNX file; return how many nodes it has."""
    try:
        from onnx import helper

        from hrvmamba.export.onnx_model import to_onnx
    except ImportError as error:
        raise ImportError(f'this needs onnx: pip install "hrvmamba[onnx]" ({error})') from error
    model = to_onnx(network, example, INPUT, OUTPUT, opset, half)
    helper.set_model_props(model, card.properties())
    path.write_bytes(model.SerializeToString())
    return len(model.graph.node)


def _onnx_runner(path: Path) -> tuple[str, Callable[[Tensor], np.ndarray]]:
    """What runs an ONNX file, and a function that does."""
    import onnxruntime

    session = open_session(path, threads=torch.get_num_threads())

    def run(images: Tensor) -> np.ndarray:
        (heatmaps,) = session.run([OUTPUT], {INPUT: images.numpy()})
        return heatmaps

    return f"onnxruntime {onnxruntime.__version__}", run


# Programs of torch.export


def _write_program(path: Path, network: nn.Module, example: Tensor, card: PoseCard) -> int:
    """Write a program's file; return how many nodes it has."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    try:
        program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
    except Exception as error:  # of many types
        reason = f"torch.export does not take this model: {first_line(error)}"
        if "cpu" in MISSING_KERNELS:
            reason += ". Its operators must be compiled: `hrvmamba check` says how"
        raise ValueError(reason) from error
    torch.export.save(program, path, extra_files={CARD_FILE: json.dumps(card.properties())})
    return len(program.graph.nodes)


def _program_runner(path: Path) -> tuple[str, Callable[[Tensor], np.ndarray]]:
    """What runs a program, and a function that does."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given buffer is not writable")  # torch's own
        module = torch.export.load(path).module()
    return "torch.export", lambda images: module(images).numpy()
