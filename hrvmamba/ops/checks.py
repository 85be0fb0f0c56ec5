"""The checks that the ops make of their arguments."""

from collections.abc import Sequence

import torch
from torch import Tensor

_FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_tensor(name: str, tensor: Tensor, shape: Sequence[tuple[str, int | None]]) -> None:
    """Check that an argument is a floating tensor of the expected shape.

    Args:
        name: the argument's name, for the message.
        tensor: the argument.
        shape: a (name, size) pair for each dimension; a size of None admits any.

    Raises:
        TypeError: ``tensor`` is not a floating point tensor.
        ValueError: its rank or one of its sizes differs from ``shape``.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}")
    if tensor.dtype not in _FLOATING:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in _FLOATING)
        raise TypeError(f"{name} must be one of {allowed}, got {tensor.dtype}")
    sizes = tensor.shape
    fits = len(sizes) == len(shape)
    if fits:  # a plain loop: the ops check six tensors a call, and small maps take microseconds
        for (_, size), got in zip(shape, sizes, strict=True):
            fits = fits and (size is None or size == got)
    if not fits:
        needed = ", ".join(
            label if size is None else label if label == str(size) else f"{label} = {size}"
            for label, size in shape
        )
        raise ValueError(f"{name} must have shape ({needed}), got {tuple(tensor.shape)}")


def check_same_device(**tensors: Tensor) -> None:
    """Check that all the named tensors are on one device.

    Raises:
        ValueError: they are not.
    """
    if len({tensor.device for tensor in tensors.values()}) > 1:
        devices = ", ".join(f"{name} on {tensor.device}" for name, tensor in tensors.items())
        raise ValueError(f"all tensors must be on one device, got {devices}")
