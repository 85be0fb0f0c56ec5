"""Checks of what the backbones are given, which name what is allowed."""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeVar

import torch
from torch import Tensor, nn

MIN_SIZE = 32
"""The smallest height and width, in pixels: the coarsest maps are at 1/32."""

_MAPS = 4

T = TypeVar("T")


def check_out_indices(out_indices: object, maps: str) -> None:
    """Check the indices of the maps to return.

    Args:
        out_indices: what is given.
        maps: what the indices are of, for the message.

    Raises:
        ValueError: they are not a sequence of some indices from 0 to 3.
    """
    if (
        not isinstance(out_indices, Sequence)
        or not out_indices
        or not set(out_indices) <= set(range(_MAPS))
    ):
        raise ValueError(f"out_indices must hold {maps} from 0 to {_MAPS - 1}, got {out_indices}")


def check_drop_path_rate(rate: float) -> None:
    """Check a rate of stochastic depth.

    Raises:
        ValueError: it is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"drop_path_rate must be in [0, 1), got {rate}")


def check_images(x: Tensor, weight: Tensor) -> None:
    """Check images against the convolution that takes them.

    Args:
        x: what is given.
        weight: of the network's first convolution, ``(C, in_channels, kH, kW)``.

    Raises:
        TypeError: x is not a floating tensor of the weight's type (outside autocast).
        ValueError: x has another rank, number of channels or device, or is too small.
    """
    in_channels = weight.shape[1]
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a torch.Tensor, got {type(x).__name__}")
    if x.dim() != 4 or x.shape[1] != in_channels:
        raise ValueError(
            f"x must have shape (B, in_channels = {in_channels}, H, W), got {tuple(x.shape)}"
        )
    if min(x.shape[2:]) < MIN_SIZE:
        raise ValueError(
            f"x must be at least {MIN_SIZE} pixels high and wide, got {x.shape[2]} x {x.shape[3]}"
        )
    if x.device != weight.device:
        raise ValueError(f"x must be on {weight.device}, as the model is, got {x.device}")
    if x.dtype != weight.dtype and not _casts(x):
        raise TypeError(f"x must be {weight.dtype}, as the model is, got {x.dtype}")


def _casts(x: Tensor) -> bool:
    """Tell whether autocast brings x to the type of the parameters."""
    return (
        x.dtype in (torch.float16, torch.bfloat16, torch.float32)
        and torch.amp.is_autocast_available(x.device.type)
        and torch.is_autocast_enabled(x.device.type)
    )


def resolve_arch(arch: str | dict | T, presets: Mapping[str, T]) -> T:
    """Find or make the architecture that an option names.

    Args:
        arch: a preset's name, a value like the presets', or its fields as a dict.
        presets: values of one dataclass, by name.

    Raises:
        ValueError: arch is none of these.
    """
    cls = type(next(iter(presets.values())))
    if isinstance(arch, cls):
        return arch
    names = ", ".join(presets)
    if isinstance(arch, str):
        if arch not in presets:
            raise ValueError(f"arch must be one of {names} or a dict, got {arch!r}")
        return presets[arch]
    fields = {field.name: field for field in dataclasses.fields(cls)}
    required = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
    if not isinstance(arch, dict) or not required <= set(arch) <= set(fields):
        raise ValueError(
            f"arch must be one of {names} or a dict with keys among {', '.join(fields)} "
            f"({', '.join(sorted(required))} required), got {arch!r}"
        )
    # Config files and JSON have lists where the fields are tuples.
    return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in arch.items()})


def refuse_options(
    cls: type, core: type[nn.Module], unknown: Mapping[str, object], replaced: Sequence[str] = ()
) -> NoReturn:
    """Refuse options that a backbone does not have.

    Args:
        cls: the class that got them, ``core`` or one that inherits from it.
        core: the backbone.
        unknown: the options.
        replaced: options of ``core`` that ``cls`` has others for.

    Raises:
        TypeError: always; it names the options that there are.
    """
    allowed = {
        name
        for base in cls.__mro__
        if issubclass(base, core)
        for name, parameter in inspect.signature(base.__init__).parameters.items()
        if name not in ("self", *replaced) and parameter.kind is not parameter.VAR_KEYWORD
    }
    raise TypeError(
        f"{core.__name__} got unknown options {', '.join(sorted(unknown))}; "
        f"allowed are {', '.join(sorted(allowed))}"
    )
