"""What the compiled operators need besides their kernels: shapes for tracing, and gradients.

Their schemas are in csrc/registration.cpp. They take mixed types and compute in float32 or better
themselves, so that autocast has no rule for them.
"""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

_OPS = torch.ops.hrvmamba


def _contiguous_like(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


# deform_sample


@torch.library.register_fake("hrvmamba::deform_sample")
def _(value: Tensor, offset_mask: Tensor, groups: int, silu: bool) -> Tensor:
    return _contiguous_like(value)


@torch.library.register_fake("hrvmamba::deform_sample_backward")
def _(
    grad_out: Tensor,
    value: Tensor,
    offset_mask: Tensor,
    groups: int,
    silu: bool,
    deterministic: bool,
) -> tuple[Tensor, Tensor]:
    return _contiguous_like(value), _contiguous_like(offset_mask)


def _setup_deform_sample(ctx: FunctionCtx, inputs: tuple, output: Tensor) -> None:
    value, offset_mask, ctx.groups, ctx.silu = inputs
    ctx.save_for_backward(value, offset_mask)


def _deform_sample_backward(ctx: FunctionCtx, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    # Kernels cannot ask for it: libtorch's stable ABI has no such question.
    deterministic = torch.are_deterministic_algorithms_enabled()
    grads = _OPS.deform_sample_backward(
        grad_out, *ctx.saved_tensors, ctx.groups, ctx.silu, deterministic
    )
    return *grads, None, None


torch.library.register_autograd(
    "hrvmamba::deform_sample", _deform_sample_backward, setup_context=_setup_deform_sample
)


# selective_scan_2d


@torch.library.register_fake("hrvmamba::selective_scan_2d")
def _(u: Tensor, *arguments: Tensor) -> Tensor:
    return _contiguous_like(u)


@torch.library.register_fake("hrvmamba::selective_scan_2d_backward")
def _(grad_y: Tensor, *arguments: Tensor) -> tuple[Tensor, ...]:
    return tuple(_contiguous_like(argument) for argument in arguments)


def _setup_selective_scan_2d(ctx: FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _selective_scan_2d_backward(ctx: FunctionCtx, grad_y: Tensor) -> tuple[Tensor, ...]:
    return _OPS.selective_scan_2d_backward(grad_y, *ctx.saved_tensors)


torch.library.register_autograd(
    "hrvmamba::selective_scan_2d",
    _selective_scan_2d_backward,
    setup_context=_setup_selective_scan_2d,
)


# Without these, a second derivative would be wrong, with a warning alone.


def _refuse_second_derivative(ctx: FunctionCtx, *grads: Tensor) -> None:
    raise RuntimeError(
        "hrvmamba's compiled ops have no second derivative; deform_sample has one inside "
        'hrvmamba.ops.backend("reference")'
    )


for _name in ("deform_sample_backward", "selective_scan_2d_backward"):
    torch.library.register_autograd(f"hrvmamba::{_name}", _refuse_second_derivative)
