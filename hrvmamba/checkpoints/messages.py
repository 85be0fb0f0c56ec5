"""Wording that the errors about checkpoints share."""

from collections.abc import Sequence

_SHOWN = 8


def first_few(names: Sequence[str]) -> str:
    """List the first few names and say how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def shape_of(value: object) -> str:
    """Tell a tensor's shape, or the type of what is no tensor."""
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" if shape is None else str(tuple(shape))
