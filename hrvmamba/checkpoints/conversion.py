"""Converting a file of the authors' release, checked against the preset that it is of."""

import os
from typing import NamedTuple

import torch
from torch import Tensor

from hrvmamba.checkpoints.loading import LoadReport, arch_name, compare, infer_arch
from hrvmamba.checkpoints.posevmamba import BACKBONE, is_posevmamba
from hrvmamba.checkpoints.reading import in_our_names, load_file, state_dict_of, weights_key
from hrvmamba.models import HRVMamba


class Conversion(NamedTuple):
    """A converted file of the authors.

    Attributes:
        state_dict: all tensors, the backbone's in our names, the others' (head, neck,
            data_preprocessor) in theirs.
        arch: the preset's name.
        key: where in the file the weights were; None if it is a bare state dict.
        report: the backbone's tensors against those of the preset.
        others: how many tensors are not the backbone's.
    """

    state_dict: dict[str, Tensor]
    arch: str
    key: str | None
    report: LoadReport
    others: int

    def __str__(self) -> str:
        return f"HRVMamba {self.arch}: {self.report}; {self.others} outside the backbone kept"


def convert_posevmamba(path: str | os.PathLike) -> Conversion:
    """Convert a file of the authors, of any preset, pose or ImageNet.

    Args:
        path: an MMEngine runner checkpoint, or ImageNet weights under ``model_ema`` or ``model``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, is not of the authors' release, or does not fit a
            preset; the first few tensors at fault are named.
    """
    checkpoint = load_file(path)
    if not is_posevmamba(state_dict_of(checkpoint)):
        raise ValueError(f"checkpoint {path} is not of the authors' release, PoseVMamba")
    state_dict = in_our_names(checkpoint, path)["state_dict"]
    prefix = BACKBONE if any(name.startswith(BACKBONE) for name in state_dict) else ""
    try:
        inferred = infer_arch(state_dict, prefix)
    except ValueError as error:
        raise ValueError(f"checkpoint {path} holds {error}") from error
    arch = arch_name(inferred)
    if arch is None:
        raise ValueError(f"checkpoint {path} is of no preset: {inferred}")

    heads = () if prefix else ("neck.", "head.")
    backbone = {
        name.removeprefix(prefix): tensor
        for name, tensor in state_dict.items()
        if name.startswith(prefix) and not name.startswith(heads)
    }
    branches = {
        name.split(".")[4] for name in backbone if name.startswith("stage4.1.fusion.paths.")
    }
    with torch.device("meta"):
        model = HRVMamba(arch, out_indices=tuple(sorted(map(int, branches))) or (0,))
    report = compare(model.state_dict(), backbone)
    if report.missing or report.misshapen or report.left_over:
        raise ValueError(f"checkpoint {path} does not fit HRVMamba {arch}: {report}")
    others = len(state_dict) - len(backbone)
    return Conversion(state_dict, arch, weights_key(checkpoint), report, others)
