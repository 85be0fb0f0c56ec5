"""Converting a file of the authors' release, checked against the preset that it is of."""

import os
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from hrvmamba.checkpoints.loading import LoadReport, arch_name, compare, infer_arch
from hrvmamba.checkpoints.posevmamba import BACKBONE, is_posevmamba
from hrvmamba.checkpoints.reading import in_our_names, load_file, state_dict_of, weights_key
from hrvmamba.models import HRVMamba, HRVMambaClassifier

_CLASSIFIER = ("neck.widen.", "head.fc.")
_SEGMENTOR = "neck.norms."


class Conversion(NamedTuple):
    """A converted file of the authors.

    Attributes:
        state_dict: all tensors, the backbone's, neck's and ImageNet classifier's in our names, the
            others' (heads, data_preprocessor) in theirs.
        arch: the preset's name.
        classifier: whether the tensors are of a whole classifier.
        key: where in the file the weights were; None if it is a bare state dict.
        report: the classifier's or the backbone's tensors against those of the preset.
        others: how many tensors are outside those.
    """

    state_dict: dict[str, Tensor]
    arch: str
    classifier: bool
    key: str | None
    report: LoadReport
    others: int

    def __str__(self) -> str:
        if self.classifier:
            return f"HRVMamba {self.arch} classifier: {self.report}"
        return f"HRVMamba {self.arch}: {self.report}; {self.others} outside the backbone kept"


def convert_posevmamba(path: str | os.PathLike) -> Conversion:
    """Convert a file of the authors, of any preset: pose, ImageNet or ADE20K.

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

    classifier = any(name.startswith(_CLASSIFIER) for name in state_dict) and not any(
        name.startswith(_SEGMENTOR) for name in state_dict
    )
    with torch.device("meta"):
        if classifier:
            ours = state_dict
            model = HRVMambaClassifier(arch, _num_classes(state_dict))
        else:
            ours = {
                name.removeprefix(prefix): tensor
                for name, tensor in state_dict.items()
                if name.startswith(prefix)
            }
            model = HRVMamba(arch, out_indices=_out_indices(ours))
    report = compare(model.state_dict(), ours)
    if report.missing or report.misshapen or report.left_over:
        raise ValueError(f"checkpoint {path} does not fit HRVMamba {arch}: {report}")
    others = len(state_dict) - len(ours)
    return Conversion(state_dict, arch, classifier, weights_key(checkpoint), report, others)


def _num_classes(state_dict: Mapping[str, Tensor]) -> int:
    shape = getattr(state_dict.get("head.fc.weight"), "shape", ())
    return shape[0] if shape else 1000


def _out_indices(backbone: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Tell the branches that the last module fuses into."""
    fusions = (name for name in backbone if name.startswith("stage4.1.fusion.paths."))
    return tuple(sorted({int(name.split(".")[4]) for name in fusions})) or (0,)
