"""The parameter names of the authors' release (PoseVMamba), turned into ours."""

import re
from collections.abc import Mapping
from contextlib import suppress

from torch import Tensor

from hrvmamba.checkpoints.messages import first_few, shape_of
from hrvmamba.ops.paths import DIRECTIONS

BACKBONE = "backbone."

_SIGNATURE = re.compile(r"(?:^|\.)stage2\.0\.branches\.0\.0\.op\.x_proj_weight$")

_NETWORK = (
    (re.compile(r"^conv([12])\."), lambda m: f"stem.{int(m[1]) - 1}.0."),
    (re.compile(r"^bn([12])\."), lambda m: f"stem.{int(m[1]) - 1}.1."),
    (re.compile(r"^layer1\.(\d)\.conv(\d)\."), r"stage1.\1.conv\2.0."),
    (re.compile(r"^layer1\.(\d)\.bn(\d)\."), r"stage1.\1.conv\2.1."),
    (re.compile(r"^layer1\.(\d)\.downsample\."), r"stage1.\1.downsample."),
    (re.compile(r"^(transition[123])\.(\d)\.(?:0\.)?([01])\."), r"\1.\2.\3."),
    (re.compile(r"^(stage[234]\.\d)\.fuse_layers\."), r"\1.fusion.paths."),
    (re.compile(r"^neck\.increase_layers\.(\d)\.0\.conv(\d)\."), r"neck.widen.\1.conv\2.0."),
    (re.compile(r"^neck\.increase_layers\.(\d)\.0\.bn(\d)\."), r"neck.widen.\1.conv\2.1."),
    (re.compile(r"^neck\.increase_layers\.(\d)\.0\.downsample\."), r"neck.widen.\1.downsample."),
    (re.compile(r"^neck\.downsample_layers\.(\d)\.conv\."), r"neck.down.\1.0."),
    (re.compile(r"^neck\.downsample_layers\.(\d)\.bn\."), r"neck.down.\1.1."),
    (re.compile(r"^neck\.final_layer\.conv\."), "neck.final.0."),
    (re.compile(r"^neck\.final_layer\.bn\."), "neck.final.1."),
    (re.compile(r"^outnorm(\d)\."), r"neck.norms.\1."),
    (re.compile(r"^head\.(?=(weight|bias)$)"), "head.fc."),
)

# In ImageNet files beside a backbone without a prefix; in ADE20K's, the neck is under the prefix.
_BEHIND_BACKBONE = ("neck.", "head.")

_BLOCK = re.compile(r"^(stage[234]\.\d\.branches\.\d\.\d)\.(.+)$")

_BLOCK_PARTS = (
    ("cpe1.", "lpu1."),
    ("cpe2.", "lpu2."),
    ("conv2d.", "esinb.convs."),
    ("norm0.", "esinb_norm."),
    ("norm.", "dss2d_norm."),
    ("norm2.", "ffn_norm."),
    ("mlp.", "ffn."),
    ("op.conv2d.offset_mask_dw.", "dss2d.offset_conv."),
    ("op.conv2d.offset_mask.", "dss2d.offset_mask."),
    ("op.se.fc.0.", "dss2d.se.reduce."),
    ("op.se.fc.2.", "dss2d.se.expand."),
    ("op.x_proj_weight", "dss2d.x_proj.weight"),
    ("op.dt_projs_weight", "dss2d.dt_weight"),
    ("op.dt_projs_bias", "dss2d.dt_bias"),
    ("op.A_logs", "dss2d.A_log"),
    ("op.Ds", "dss2d.Dskip"),
    ("op.", "dss2d."),
)

# Theirs keep directions and channels on one axis, or apart where ours are one: the number of axes
# and the shape of theirs, and what turns it into ours, or raises a RuntimeError.
_RESHAPE = {
    "dss2d.x_proj.weight": (
        3,
        "(4, N, C)",
        lambda tensor: tensor.unflatten(0, (DIRECTIONS, 1)).flatten(0, 2),
    ),
    "dss2d.A_log": (2, "(4 * C, N)", lambda tensor: tensor.unflatten(0, (DIRECTIONS, -1))),
    "dss2d.Dskip": (1, "(4 * C,)", lambda tensor: tensor.unflatten(0, (DIRECTIONS, -1))),
}


def is_posevmamba(state_dict: Mapping[str, Tensor]) -> bool:
    """Tell whether a state dict has the authors' names."""
    return any(_SIGNATURE.search(name) for name in state_dict)


def from_posevmamba(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn a state dict of the authors' release into one of ours.

    Args:
        state_dict: the authors' names and tensors, of any preset: a whole model's with the
            backbone, and for ADE20K the neck, under ``backbone.``, of which the rest keeps its
            name; ImageNet's classifier, with ``neck.`` and ``head.`` beside the bare backbone's
            names; or a backbone's alone. A ``module.`` ahead of all names, as data parallelism
            leaves it, is dropped.

    Returns:
        Our names and tensors: those of a whole model, an :class:`HRVMambaClassifier` for
        ImageNet's, or of an :class:`HRVMamba`. Tensors are views.

    Raises:
        ValueError: names in the backbone or the classifier are none of theirs (the first few are
            named), or a tensor has not the shape that theirs have, or is none.
    """
    if all(name.startswith("module.") for name in state_dict):
        state_dict = {name.removeprefix("module."): value for name, value in state_dict.items()}
    whole = any(name.startswith(BACKBONE) for name in state_dict)
    classifier = not whole and any(name.startswith(_BEHIND_BACKBONE) for name in state_dict)
    mapped, unknown = {}, []
    for name, tensor in state_dict.items():
        if whole and not name.startswith(BACKBONE):
            mapped[name] = tensor
            continue
        new_name = _rename(name.removeprefix(BACKBONE))
        if new_name is None:
            unknown.append(name)
            continue
        in_backbone = (whole or classifier) and not new_name.startswith(_BEHIND_BACKBONE)
        mapped[(BACKBONE if in_backbone else "") + new_name] = _reshape(tensor, name, new_name)
    if unknown:
        raise ValueError(f"{len(unknown)} tensors are not PoseVMamba's: {first_few(unknown)}")
    return mapped


def _reshape(tensor: Tensor, name: str, new_name: str) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a tensor, got {shape_of(tensor)}")
    part = re.sub(r"^stage\d(\.\d+|\.branches)*\.(?=dss2d)", "", new_name)
    if part not in _RESHAPE:
        return tensor
    dims, form, reshape = _RESHAPE[part]
    if tensor.dim() == dims:
        with suppress(RuntimeError):
            return reshape(tensor)
    raise ValueError(f"{name} must have the shape {form}, got {shape_of(tensor)}")


def _rename(name: str) -> str | None:
    block = _BLOCK.match(name)
    if block:
        for theirs, ours in _BLOCK_PARTS:
            if block[2].startswith(theirs):
                return f"{block[1]}.{ours}{block[2].removeprefix(theirs)}"
        return None
    for pattern, replacement in _NETWORK:
        renamed, found = pattern.subn(replacement, name)
        if found:
            return renamed
    return None
