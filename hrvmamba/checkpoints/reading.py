"""Reading a checkpoint file without running anything that is in it."""

import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

import torch

from hrvmamba.checkpoints.posevmamba import from_posevmamba, is_posevmamba


class _ImageNetConfig:
    """Read the training config that the authors' ImageNet files hold as a plain dict."""

    def __new__(cls) -> OrderedDict:
        return OrderedDict()


_ImageNetConfig.__module__, _ImageNetConfig.__qualname__ = "yacs.config", "CfgNode"
_ImageNetConfig.__name__ = "CfgNode"
torch.serialization.add_safe_globals([_ImageNetConfig])

# The line of torch's long refusal that says what was refused.
_REFUSED = re.compile(r"^.*(?:Trying to |Unsupported |not an allowed ).*$", re.MULTILINE)

_NEEDS_MMENGINE = (
    ". If it is of MMEngine's runner, reading it needs that package: pip install mmengine"
)

_WEIGHTS_KEYS = ("state_dict", "model_ema", "model")


def read_checkpoint(
    path: str | os.PathLike, map_location: str | torch.device | None = "cpu"
) -> dict:
    """Read a checkpoint, turning the authors' parameter names into ours.

    The file is loaded with ``weights_only=True``: plain types, tensors and what
    ``torch.serialization.add_safe_globals`` allows.

    Args:
        path: a file of MMEngine's runner, of ``hrvmamba convert``, or of the authors
            (weights under ``state_dict``, ``model_ema`` or ``model``, the first of them that is
            there), or a bare state dict.
        map_location: the device to put tensors on, as in ``torch.load``.

    Returns:
        The file's dict. The authors' files give ``{"state_dict": ...}`` in our names alone.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, no checkpoint, holds more than plain data, or is like the
            authors' but of other tensors.
    """
    return in_our_names(load_file(path, map_location), path)


def in_our_names(checkpoint: Mapping, source: str | os.PathLike) -> Mapping:
    """Turn the parameter names of a checkpoint of the authors into ours; leave any other be.

    Args:
        checkpoint: what the file holds.
        source: the file's path or URL, for messages.

    Raises:
        ValueError: the checkpoint is like the authors' but of other tensors.
    """
    state_dict = state_dict_of(checkpoint)
    if not is_posevmamba(state_dict):
        return checkpoint
    try:
        return {"state_dict": from_posevmamba(state_dict)}
    except ValueError as error:
        raise ValueError(f"checkpoint {source}: {error}") from error


def load_file(path: str | os.PathLike, map_location: str | torch.device | None = "cpu") -> dict:
    """Read a checkpoint as it stands; otherwise as :func:`read_checkpoint`."""
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"checkpoint {path} not found")
    with damage_told(path):
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"checkpoint {path} holds a {type(checkpoint).__name__}, not a dict")
    return checkpoint


@contextmanager
def damage_told(source: str) -> Iterator[None]:
    """Turn what ``torch.load`` raises on a bad file into a ValueError that names the file."""
    try:
        yield
    except pickle.UnpicklingError as error:
        refused = _REFUSED.search(str(error))
        reason = refused[0].strip() if refused else _first_line(error)
        raise ValueError(
            f"checkpoint {source} is damaged or holds more than tensors and plain data: {reason}"
            f"{'' if find_spec('mmengine') else _NEEDS_MMENGINE}"
        ) from error
    except OSError:
        raise
    except Exception as error:  # what torch.load raises on a damaged file is of many types
        raise ValueError(
            f"checkpoint {source} is truncated, damaged or no checkpoint: {_first_line(error)}"
        ) from error


def state_dict_of(checkpoint: Mapping) -> Mapping[str, torch.Tensor]:
    """Return the state dict that a checkpoint holds, or is."""
    key = weights_key(checkpoint)
    return checkpoint if key is None else checkpoint[key]


def weights_key(checkpoint: Mapping) -> str | None:
    """Return the key under which a checkpoint holds its weights; None for a bare state dict."""
    for key in _WEIGHTS_KEYS:
        if isinstance(checkpoint.get(key), Mapping):
            return key
    return None


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}{f': {lines[0]}' if lines else ''}"
