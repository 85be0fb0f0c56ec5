"""The selective scan of a map along four directions, with its dt projection and merge."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from hrvmamba.ops.backend import runs_mamba_ssm, runs_native
from hrvmamba.ops.checks import check_same_device, check_tensor
from hrvmamba.ops.linear_recurrence import linear_recurrence
from hrvmamba.ops.paths import DIRECTIONS, Paths
from hrvmamba.ops.precision import compute_dtype, no_autocast
from hrvmamba.ops.selective_scan_2d_mamba_ssm import selective_scan_2d_mamba_ssm

_SLICE_NUMEL = 2**19
"""Elements of one tensor that are computed at once: a compromise of cache and overhead."""


def selective_scan_2d(
    u: Tensor, ssm_params: Tensor, dt_weight: Tensor, dt_bias: Tensor, A_log: Tensor, D: Tensor
) -> Tensor:
    """Scan a map along four directions with a selective state-space model and add the results.

    For each direction k, along its path through the map, with state h of N numbers a channel::

        dt = softplus(dt_weight[k] @ dt_low + dt_bias[k]),    A = -exp(A_log[k])
        h <- exp(dt * A) * h + dt * B * u,    y_k = C . h + D[k] * u

    Direction 0 walks row by row, 1 column by column (down each), 2 is 0 reversed, 3 is 1 reversed.
    Each starts from h = 0. The result is the sum of the y_k, in image order. (Paper, section 3.1,
    with the four-way cross-scan of VMamba.)

    Args:
        u: input, ``(B, H, W, D)``.
        ssm_params: ``(B, H, W, 4, R + 2N)``, in image order: for each direction dt_low (R), B (N)
            and C (N).
        dt_weight: ``(4, D, R)``.
        dt_bias: ``(4, D)``.
        A_log: ``(4, D, N)``.
        D: skip weights, ``(4, D)``.

    Returns:
        ``(B, H, W, D)``, of the type of ``u``. It is computed in float32, or in float64 if an
        argument is of it, also under autocast. The same arguments give the same bits, forward and
        backward, with any number of threads.

    Raises:
        TypeError: an argument is not a floating tensor.
        ValueError: an argument's shape does not fit the others, or the devices differ.
    """
    check_tensor("u", u, [("B", None), ("H", None), ("W", None), ("D", None)])
    batch, height, width, channels = u.shape
    check_tensor("dt_weight", dt_weight, [("4", 4), ("D", channels), ("R", None)])
    check_tensor("dt_bias", dt_bias, [("4", 4), ("D", channels)])
    check_tensor("A_log", A_log, [("4", 4), ("D", channels), ("N", None)])
    check_tensor("D", D, [("4", 4), ("D", channels)])
    columns = dt_weight.shape[-1] + 2 * A_log.shape[-1]
    check_tensor(
        "ssm_params",
        ssm_params,
        [("B", batch), ("H", height), ("W", width), ("4", 4), ("R + 2N", columns)],
    )
    check_same_device(
        u=u, ssm_params=ssm_params, dt_weight=dt_weight, dt_bias=dt_bias, A_log=A_log, D=D
    )
    arguments = (u, ssm_params, dt_weight, dt_bias, A_log, D)
    if runs_mamba_ssm():
        return selective_scan_2d_mamba_ssm(*arguments)
    if runs_native(u.device, compute_dtype(*arguments)):
        return torch.ops.hrvmamba.selective_scan_2d(*arguments)
    return selective_scan_2d_reference(*arguments)


def selective_scan_2d_reference(
    u: Tensor, ssm_params: Tensor, dt_weight: Tensor, dt_bias: Tensor, A_log: Tensor, D: Tensor
) -> Tensor:
    """:func:`selective_scan_2d` in plain PyTorch ops, for unchecked arguments."""
    dtype = compute_dtype(u, ssm_params, dt_weight, dt_bias, A_log, D)
    arguments = (u, ssm_params, dt_weight, dt_bias, A_log, D)
    y = _SelectiveScan2d.apply(*(argument.to(dtype) for argument in arguments))
    return y.to(u.dtype)


class _Walk(NamedTuple):
    """Some samples along the four paths (K = 4, then B, L) and the weights to go with them."""

    u: Tensor  # (K, B, L, D)
    dt_low: Tensor  # (K, B, L, R)
    B: Tensor  # (K, B, L, 1, N)
    C: Tensor  # (K, B, L, 1, N)
    dt_weight: Tensor  # (K, D, R)
    dt_bias: Tensor  # (K, 1, D)
    A: Tensor  # (K, 1, 1, D, N)
    D: Tensor  # (K, 1, 1, D)


class _States(NamedTuple):
    """What the scan computes on its way to its output."""

    dt_input: Tensor  # (K, B, L, D): before softplus
    dt: Tensor  # (K, B, L, D, 1)
    decay: Tensor  # (K, B, L, D, N)
    inflow: Tensor  # (K, B, L, D, N)
    h: Tensor  # (K, B, L, D, N)


def _batch_slices(u: Tensor, d_state: int) -> list[slice]:
    """Cut the batch so that what is computed for a slice stays small, and in cache on a CPU."""
    per_sample = max(1, DIRECTIONS * u[0:1].numel() * d_state)
    samples = max(1, _SLICE_NUMEL // per_sample)
    return [slice(start, start + samples) for start in range(0, u.shape[0], samples)]


def _walk(
    paths: Paths,
    u: Tensor,
    ssm_params: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
) -> _Walk:
    dt_rank, d_state = dt_weight.shape[-1], A_log.shape[-1]
    params = paths.walk_each(ssm_params.flatten(1, 2))
    dt_low, B, C = params.split((dt_rank, d_state, d_state), -1)
    A = -torch.exp(A_log)
    return _Walk(
        paths.walk(u.flatten(1, 2)),
        dt_low,
        B.unsqueeze(3),
        C.unsqueeze(3),
        dt_weight,
        dt_bias.unsqueeze(1),
        A[:, None, None],
        D[:, None, None],
    )


def _scan(x: _Walk) -> _States:
    """Run the recurrence of all directions and samples at once."""
    dt_low = x.dt_low.flatten(1, 2)
    dt_input = torch.baddbmm(x.dt_bias, dt_low, x.dt_weight.transpose(1, 2)).view_as(x.u)
    dt = _softplus(dt_input).unsqueeze(-1)
    decay = torch.exp(dt * x.A)
    inflow = (dt * x.u.unsqueeze(-1)).mul(x.B)
    h = linear_recurrence(_sequences(decay), _sequences(inflow))
    return _States(dt_input, dt, decay, inflow, h.view_as(inflow))


def _sequences(x: Tensor) -> Tensor:
    """Turn (K, B, L, D, N) into the (K*B, L, D*N) that the recurrence takes."""
    return x.flatten(3).flatten(0, 1)


def _softplus(x: Tensor) -> Tensor:
    """Softplus to a few units in the last place, several times faster than torch's on a CPU."""
    t = x.abs().neg_().exp_()
    y = 1 + t
    # log1p(t): the rounding of y cancels in the quotient.
    log1p = torch.where(y == 1, t, y.log().mul_(t).div_(y - 1))
    return log1p.add_(x.clamp(min=0))


class _SelectiveScan2d(torch.autograd.Function):
    """Keeps the arguments alone and recomputes the states for backward, some samples at a time."""

    @staticmethod
    def forward(ctx: FunctionCtx, u: Tensor, ssm_params: Tensor, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(u, ssm_params, *weights)
        y = torch.empty_like(u, memory_format=torch.contiguous_format)
        paths = Paths(*u.shape[1:3], u.device)
        with no_autocast(u.device):
            for samples in _batch_slices(u, weights[2].shape[-1]):
                x = _walk(paths, u[samples], ssm_params[samples], *weights)
                h = _scan(x).h
                y_paths = _sum_states(h * x.C).addcmul_(x.D, x.u)
                y[samples] = paths.merge(y_paths).view_as(u[samples])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_y: Tensor) -> tuple[Tensor, ...]:
        u, ssm_params, *weights = ctx.saved_tensors
        grad_u, grad_params = (
            torch.empty_like(tensor, memory_format=torch.contiguous_format)
            for tensor in (u, ssm_params)
        )
        grad_weights = [torch.zeros_like(weight) for weight in weights]
        paths = Paths(*u.shape[1:3], u.device)
        with no_autocast(u.device):
            for samples in _batch_slices(u, weights[2].shape[-1]):
                x = _walk(paths, u[samples], ssm_params[samples], *weights)
                grads = _scan_backward(x, paths.walk(grad_y[samples].flatten(1, 2)))
                grad_u[samples] = paths.merge(grads[0]).view_as(u[samples])
                grad_params[samples] = paths.unwalk_each(grads[1]).view_as(ssm_params[samples])
                for total, grad in zip(grad_weights, grads[2:], strict=True):
                    total += grad
        return grad_u, grad_params, *grad_weights


def _scan_backward(x: _Walk, grad_y: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of u and ssm_params, and of dt_weight, dt_bias, A_log, D."""
    dt_input, dt, decay, inflow, h = _scan(x)
    grad_y_states = grad_y.unsqueeze(-1)

    # dL/dh follows the same recurrence against the walk, with the decay of the step after.
    following = F.pad(decay[:, :, 1:], (0, 0, 0, 0, 0, 1))
    grad_h = linear_recurrence(
        _sequences(following), _sequences(grad_y_states * x.C), reverse=True
    ).view_as(h)

    decayed = h - inflow  # decay * the state of the step before
    grad_C = h.mul_(grad_y_states).sum(3)
    grad_inflow = _sum_states(grad_h * x.B)  # of dt * u
    grad_decay = decayed.mul_(grad_h)  # of the logarithm of decay, dt * A
    grad_B = grad_h.mul_(x.u.unsqueeze(-1)).mul_(dt).sum(3)
    grad_dt = (grad_inflow * x.u).add_(_sum_states(grad_decay * x.A))
    grad_u = grad_inflow.mul_(dt.squeeze(-1)).addcmul_(grad_y, x.D)
    grad_A_log = grad_decay.mul_(dt).sum((1, 2)) * x.A[:, 0, 0]  # dA/dA_log = A
    grad_dt_input = grad_dt.mul_(torch.sigmoid(dt_input)).flatten(1, 2)
    grad_dt_low = (grad_dt_input @ x.dt_weight).view_as(x.dt_low)
    return (
        grad_u,
        torch.cat((grad_dt_low, grad_B, grad_C), -1),
        grad_dt_input.transpose(1, 2) @ x.dt_low.flatten(1, 2),
        grad_dt_input.sum(1),
        grad_A_log,
        (grad_y * x.u).sum((1, 2)),
    )


def _sum_states(x: Tensor) -> Tensor:
    """Sum over the last dimension, the states; the paper's models have one."""
    return x.squeeze(-1) if x.shape[-1] == 1 else x.sum(-1)
