"""Loading a checkpoint into a model, whole or not at all."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from hrvmamba.checkpoints.messages import first_few, shape_of
from hrvmamba.checkpoints.posevmamba import BACKBONE
from hrvmamba.checkpoints.reading import read_checkpoint, state_dict_of
from hrvmamba.layers.esinb import KERNEL_SIZES
from hrvmamba.models import ARCHS, Arch, HRVMamba


class LoadReport(NamedTuple):
    """What became of a checkpoint's tensors.

    Attributes:
        mapped: names that the model and the checkpoint share, in shape too.
        missing: the model's names that the checkpoint lacks.
        misshapen: shared names of different shapes.
        left_over: the checkpoint's names that the model has no use for.
    """

    mapped: list[str]
    missing: list[str]
    misshapen: list[str]
    left_over: list[str]

    def __str__(self) -> str:
        counts = f"{len(self.mapped)} tensors mapped, {len(self.missing)} missing, "
        counts += f"{len(self.misshapen)} misshapen, {len(self.left_over)} left over"
        lists = [
            f"{label}: {first_few(names)}"
            for label, names in (
                ("missing", self.missing),
                ("misshapen", self.misshapen),
                ("left over", self.left_over),
            )
            if names
        ]
        return "\n".join([counts, *lists])


def load_checkpoint(
    model: nn.Module, path: str | os.PathLike, prefix: str | None = None
) -> LoadReport:
    """Load a checkpoint file into a model; see :func:`read_checkpoint` and :func:`load_state_dict`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, or does not fit the model.
    """
    checkpoint = read_checkpoint(path)
    return load_state_dict(model, state_dict_of(checkpoint), prefix, source=f"checkpoint {path}")


def load_state_dict(
    model: nn.Module,
    state_dict: Mapping[str, Tensor],
    prefix: str | None = None,
    source: str = "state_dict",
) -> LoadReport:
    """Load a state dict into a model if all of the model's tensors are in it.

    Args:
        model: a whole model with its ``backbone``, or an :class:`HRVMamba`.
        state_dict: names and tensors. A backbone also takes a whole model's, of which it loads
            what is under ``backbone.``.
        prefix: the part of the names ahead of the model's own; None finds it.
        source: what to call the state dict in messages.

    Returns:
        The report; its ``left_over`` are heads that a backbone does not have, the input's mean and
        std, and fusions into branches that the model does not return.

    Raises:
        ValueError: tensors are missing, misshapen or left over beyond that; the first few are
            named, and the preset that the state dict is of. The model is unchanged.
    """
    model_state = model.state_dict()
    if prefix is None:
        whole = any(name.startswith(BACKBONE) for name in state_dict)
        prefix = BACKBONE if isinstance(model, HRVMamba) and whole else ""
    prefix = f"{prefix.rstrip('.')}." if prefix else ""
    report = compare(model_state, state_dict, prefix)
    refused = [
        name for name in report.left_over if not _may_be_left_over(name, model_state, prefix)
    ]
    if report.missing or report.misshapen or refused:
        raise ValueError(
            f"{source} does not fit the model{_arch_hint(model, state_dict)}: {report}"
            f"{_fusion_hint(report)}"
        )
    model.load_state_dict({name: state_dict[prefix + name] for name in report.mapped}, strict=False)
    return report


def compare(
    model_state: Mapping[str, Tensor], state_dict: Mapping[str, Tensor], prefix: str = ""
) -> LoadReport:
    """Compare the names and shapes of a state dict with those that a model has."""
    mapped, missing, misshapen = [], [], []
    for name, tensor in model_state.items():
        if prefix + name not in state_dict:
            missing.append(name)
        elif getattr(state_dict[prefix + name], "shape", None) != tensor.shape:
            misshapen.append(f"{name} {shape_of(state_dict[prefix + name])} for {shape_of(tensor)}")
        else:
            mapped.append(name)
    known = {prefix + name for name in model_state}
    return LoadReport(
        mapped, missing, misshapen, [name for name in state_dict if name not in known]
    )


def infer_arch(state_dict: Mapping[str, Tensor], prefix: str = "") -> Arch:
    """Tell the widths and parts of the backbone that a state dict in our names is of.

    Raises:
        ValueError: the state dict has no HRVMamba backbone with ESInB and DSS2D there; what it
            lacks is named.
    """
    block = f"{prefix}stage4.0.branches.{{}}.0."
    first = block.format(0)
    names = [f"{prefix}stage1.0.conv1.0.weight"]
    names += [f"{block.format(branch)}esinb_norm.weight" for branch in range(4)]
    parts = [f"{first}dss2d.offset_mask.weight"]
    parts += [f"{first}esinb.convs.{group}.weight" for group in range(len(KERNEL_SIZES))]
    lacking = [name for name in names + parts if not getattr(state_dict.get(name), "shape", ())]
    if lacking:
        raise ValueError(f"no HRVMamba backbone: {', '.join(lacking)} missing")
    bottleneck, *channels = (state_dict[name].shape[0] for name in names)
    return Arch(
        bottleneck,
        tuple(channels),
        use_lpu=f"{first}lpu1.weight" in state_dict,
        use_se=f"{first}dss2d.se.reduce.weight" in state_dict,
        use_offset_conv=f"{first}dss2d.offset_conv.weight" in state_dict,
        esinb_kernel_sizes=tuple(state_dict[name].shape[-1] for name in parts[1:]),
    )


def arch_name(arch: Arch) -> str | None:
    """Return the name of the preset that has this arch, if one does."""
    return next((name for name, preset in ARCHS.items() if preset == arch), None)


def _fusion_hint(report: LoadReport) -> str:
    """Say why fusions alone are missing, where that is so."""
    if not report.missing or not all(".fusion.paths." in name for name in report.missing):
        return ""
    return (
        "\nthe model's out_indices ask for branches that the checkpoint's last module does not fuse"
        " into: pose checkpoints are of out_indices=(0,)"
    )


def _may_be_left_over(name: str, model_state: Mapping[str, Tensor], prefix: str) -> bool:
    if name.startswith("data_preprocessor."):
        return True
    if not name.startswith(prefix):  # a whole model's other parts, for a backbone
        return True
    own = name.removeprefix(prefix)
    if own.split(".")[0] in ("neck", "head"):  # ImageNet's classifier, beside a bare backbone
        return not any(key.startswith(own.split(".")[0] + ".") for key in model_state)
    return ".fusion.paths." in own


def _arch_hint(model: nn.Module, state_dict: Mapping[str, Tensor]) -> str:
    """Say that the state dict is of one preset and the model of another, where that is so."""
    archs = []
    for state in (state_dict, model.state_dict()):
        prefix = BACKBONE if any(name.startswith(BACKBONE) for name in state) else ""
        try:
            arch = infer_arch(state, prefix)
        except ValueError:
            return ""
        archs.append(arch_name(arch) or str(arch))
    theirs, ours = archs
    return f" (it is of HRVMamba {theirs}, the model is {ours})" if theirs != ours else ""
