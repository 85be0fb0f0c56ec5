"""Which implementation of the ops runs: the compiled kernels or plain PyTorch."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

import torch

BACKENDS = ("native", "reference", "mamba_ssm")
"""Names that :func:`backend` takes."""


class _Choice:
    forced: str | None = None
    warned = False


def _load() -> tuple[dict[str, str], tuple[str, ...]]:
    """Load the kernels.

    Returns:
        Why there are none, for each device type that lacks them, and the types that have them.
    """
    missing: dict[str, str] = {}
    devices = []
    for device, module in (("cpu", "_C"), ("cuda", "_C_cuda")):
        try:
            import_module(f"hrvmamba.{module}")
            devices.append(device)
        except ImportError as error:
            missing[device] = f"hrvmamba.{module} does not import ({error})"
    if devices:
        import_module("hrvmamba.ops.registrations")
    return missing, tuple(devices)


MISSING_KERNELS, NATIVE_DEVICES = _load()
"""Why the kernels of a device type do not load, and the types whose kernels do.

Both know a type as ``torch.device.type``.
"""


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Choose what the ops run with inside a ``with`` block.

    By default the compiled kernels run wherever they are built for the tensors' device. Elsewhere
    plain PyTorch ops run, after one warning that names how to build the kernels.

    Args:
        name: ``"native"``, the default; ``"reference"``, plain PyTorch ops everywhere; or
            ``"mamba_ssm"``, which is the default but for the scan: that runs through mamba-ssm's
            ``selective_scan_fn``, to compare with.

    Raises:
        ValueError: name is not one of these.
        ImportError: mamba-ssm is asked for and not installed.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {name!r}")
    if name == "mamba_ssm" and find_spec("mamba_ssm") is None:
        raise ImportError('backend("mamba_ssm") needs mamba-ssm: pip install "hrvmamba[mamba_ssm]"')
    before, _Choice.forced = _Choice.forced, name
    try:
        yield
    finally:
        _Choice.forced = before


def runs_mamba_ssm() -> bool:
    """Whether the scan is to run through mamba-ssm."""
    return _Choice.forced == "mamba_ssm"


def runs_native(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the compiled kernels are to run, on a device and computing in a type."""
    if _Choice.forced == "reference":
        return False
    if device.type in NATIVE_DEVICES:
        return device.type == "cpu" or dtype == torch.float32  # float64 is for gradient checks
    if device.type == "meta":
        return bool(NATIVE_DEVICES)  # shapes alone, which take the reference much longer
    if not _Choice.warned:
        _Choice.warned = True
        reason = MISSING_KERNELS.get(device.type, "there are kernels for cpu and cuda alone")
        warnings.warn(
            f"no native ops for {device.type}: {reason}. To build them: pip install -v the source "
            "folder of hrvmamba, beside torch >= 2.10 and with a C++ compiler. Plain PyTorch ops "
            "run instead: the same results, several times slower.",
            stacklevel=3,
        )
    return False
