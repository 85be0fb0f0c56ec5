"""Each operator on each backend that is here, against the reference in float64."""

import dataclasses
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import torch
from torch import Tensor

from hrvmamba.ops import backend, deform_sample, selective_scan_2d
from hrvmamba.ops.backend import NATIVE_DEVICES

TOLERANCE = 1e-4
"""Of a result or gradient in float32, as a share of its largest value."""

_MAP = (2, 7, 5)  # B, H, W
_CHANNELS, _GROUPS = 72, 2  # whole vectors of the kernels and a part of one in each group


@dataclasses.dataclass(frozen=True)
class OpCheck:
    """How an operator did on a backend.

    Attributes:
        op: the operator's name.
        backend: of :data:`hrvmamba.ops.backend.BACKENDS`.
        device: cpu or cuda.
        error: the largest deviation of the result and of each gradient, as a share of the largest
            value; None if it did not run.
        failure: why it did not run, in one line; None if it did.
    """

    op: str
    backend: str
    device: str
    error: float | None
    failure: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it ran, and deviated by no more than ``TOLERANCE``."""
        return self.error is not None and self.error <= TOLERANCE


def self_test() -> list[OpCheck]:
    """Run each operator forward and backward on a small input, on each backend that is here.

    It takes a fraction of a second on a CPU. The random numbers are its own.
    """
    return [
        _check(op, name, device)
        for name, device in _backends()
        for op in ("deform_sample", "selective_scan_2d")
        if name != "mamba_ssm" or op == "selective_scan_2d"  # the rest of it is native
    ]


def _backends() -> Iterator[tuple[str, str]]:
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for device in devices:
        yield "reference", device
        if device in NATIVE_DEVICES:
            yield "native", device
    if "cuda" in devices and find_spec("mamba_ssm"):
        yield "mamba_ssm", "cuda"


def _check(op: str, name: str, device: str) -> OpCheck:
    function, tensors = _CASES[op]()
    expected = _results(function, "reference", tensors)
    try:
        got = _results(function, name, [tensor.to(device, torch.float32) for tensor in tensors])
    except Exception as error:  # a kernel built for another machine can fail in any way
        lines = str(error).strip().splitlines()
        failure = f"{type(error).__name__}: {lines[0] if lines else ''}"
        return OpCheck(op, name, device, None, failure)
    deviations = (
        (one.cpu().double() - wanted).abs().max() / wanted.abs().max()
        for one, wanted in zip(got, expected, strict=True)
    )
    # torch's max, unlike Python's, keeps a NaN.
    return OpCheck(op, name, device, torch.stack(list(deviations)).max().item())


def _results(
    function: Callable[..., Tensor], name: str, tensors: list[Tensor]
) -> tuple[Tensor, ...]:
    """The operator's result, and its gradients for the sum of squares."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    with torch.enable_grad(), backend(name):
        out = function(*leaves)
        return out.detach(), *torch.autograd.grad(out, leaves, out.detach())


def _sampling() -> tuple[Callable[..., Tensor], list[Tensor]]:
    def sample(value: Tensor, offset_mask: Tensor) -> Tensor:
        return deform_sample(value, offset_mask, _GROUPS, activation="silu")

    return sample, _normal((*_MAP, _CHANNELS), (*_MAP, 56))  # 2 * 27 columns, padded to 8s


def _scanning() -> tuple[Callable[..., Tensor], list[Tensor]]:
    weights = (4, _CHANNELS)
    shapes = ((*_MAP, _CHANNELS), (*_MAP, 4, _GROUPS + 2), (*weights, _GROUPS), weights)
    return selective_scan_2d, _normal(*shapes, (*weights, 1), weights)


def _normal(*shapes: tuple[int, ...]) -> list[Tensor]:
    """Numbers of float32 in float64, so that every backend computes from the same ones."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator).double() for shape in shapes]


_CASES = {"deform_sample": _sampling, "selective_scan_2d": _scanning}
