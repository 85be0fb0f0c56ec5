"""The selective scan of a map along four directions, with its dt projection and merge."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from hrvmamba.ops.checks import check_same_device, check_tensor
from hrvmamba.ops.linear_recurrence import linear_recurrence
from hrvmamba.ops.precision import compute_dtype, no_autocast

DIRECTIONS = 4
"""Scan directions: rows, columns, rows reversed, columns reversed."""


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
        argument is of it, also under autocast.

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
    return selective_scan_2d_reference(u, ssm_params, dt_weight, dt_bias, A_log, D)


def selective_scan_2d_reference(
    u: Tensor, ssm_params: Tensor, dt_weight: Tensor, dt_bias: Tensor, A_log: Tensor, D: Tensor
) -> Tensor:
    """:func:`selective_scan_2d` in plain PyTorch ops, for unchecked arguments."""
    dtype = compute_dtype(u, ssm_params, dt_weight, dt_bias, A_log, D)
    arguments = (u, ssm_params, dt_weight, dt_bias, A_log, D)
    y = _SelectiveScan2d.apply(*(argument.to(dtype) for argument in arguments))
    return y.to(u.dtype)


class _Direction(NamedTuple):
    """One direction's view of the arguments; M = D * N, tokens in image order or transposed."""

    dt_low: Tensor  # (B, L, R)
    B: Tensor  # (B, L, 1, N)
    C: Tensor  # (B, L, 1, N)
    dt_weight: Tensor  # (D, R)
    dt_bias: Tensor  # (D,)
    A: Tensor  # (D, N)
    D: Tensor  # (D,)
    reverse: bool


class _States(NamedTuple):
    """What one direction computes on its way to its output, each (B, L, D, N) or as said."""

    dt_input: Tensor  # (B, L, D): before softplus
    dt: Tensor  # (B, L, D, 1)
    decay: Tensor
    inflow: Tensor
    h: Tensor


def _direction(
    k: int, ssm_params: Tensor, dt_weight: Tensor, dt_bias: Tensor, A_log: Tensor, D: Tensor
) -> _Direction:
    dt_rank, d_state = dt_weight.shape[-1], A_log.shape[-1]
    dt_low, B, C = ssm_params[..., k, :].split((dt_rank, d_state, d_state), -1)
    A = -torch.exp(A_log[k])
    return _Direction(
        dt_low, B.unsqueeze(2), C.unsqueeze(2), dt_weight[k], dt_bias[k], A, D[k], reverse=k >= 2
    )


def _scan(u: Tensor, direction: _Direction) -> _States:
    """Run one direction's recurrence over u (B, L, D)."""
    dt_input = F.linear(direction.dt_low, direction.dt_weight, direction.dt_bias)
    dt = _softplus(dt_input).unsqueeze(-1)
    decay = torch.exp(dt * direction.A)
    inflow = dt * u.unsqueeze(-1) * direction.B
    h = linear_recurrence(decay.flatten(2), inflow.flatten(2), direction.reverse)
    return _States(dt_input, dt, decay, inflow, h.view_as(inflow))


def _softplus(x: Tensor) -> Tensor:
    """Softplus to a few units in the last place, several times faster than torch's on a CPU."""
    t = torch.exp(-x.abs())
    y = 1 + t
    # log1p(t): the rounding of y cancels in the quotient.
    log1p = torch.where(y == 1, t, torch.log(y) * t / (y - 1))
    return log1p.add_(x.clamp(min=0))


def _token_orders(height: int, width: int):
    """Yield the two token orders, as a function of (B, H, W, ...) and its inverse, with the
    directions that walk each of them forwards and backwards."""

    def rows(x: Tensor) -> Tensor:
        return x.flatten(1, 2)

    def from_rows(x: Tensor) -> Tensor:
        return x.unflatten(1, (height, width))

    def columns(x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(1, 2)

    def from_columns(x: Tensor) -> Tensor:
        return x.unflatten(1, (width, height)).transpose(1, 2)

    yield rows, from_rows, (0, 2)
    yield columns, from_columns, (1, 3)


class _SelectiveScan2d(torch.autograd.Function):
    """Keeps the arguments alone and recomputes the states, one direction at a time, for backward:
    the memory beyond arguments and result is that of one direction, not of four."""

    @staticmethod
    def forward(ctx: FunctionCtx, u: Tensor, ssm_params: Tensor, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(u, ssm_params, *weights)
        y = torch.zeros_like(u)
        with no_autocast(u.device):
            for to_tokens, to_map, directions in _token_orders(*u.shape[1:3]):
                tokens, params = to_tokens(u), to_tokens(ssm_params)
                y_tokens = torch.zeros_like(tokens)
                for k in directions:
                    direction = _direction(k, params, *weights)
                    states = _scan(tokens, direction)
                    y_tokens += _sum_states(states.h * direction.C)
                    y_tokens.addcmul_(direction.D, tokens)
                y += to_map(y_tokens)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_y: Tensor) -> tuple[Tensor, ...]:
        u, ssm_params, *weights = ctx.saved_tensors
        grad_u, grad_params = torch.zeros_like(u), torch.zeros_like(ssm_params)
        grad_weights = tuple(torch.zeros_like(weight) for weight in weights)
        with no_autocast(u.device):
            for to_tokens, to_map, directions in _token_orders(*u.shape[1:3]):
                tokens, params, grad_tokens = map(to_tokens, (u, ssm_params, grad_y))
                for k in directions:
                    direction = _direction(k, params, *weights)
                    grads = _scan_backward(tokens, direction, grad_tokens)
                    grad_input, grad_direction_params, *grad_direction_weights = grads
                    grad_u += to_map(grad_input)
                    grad_params[..., k, :] = to_map(grad_direction_params)
                    for grad, direction_grad in zip(
                        grad_weights, grad_direction_weights, strict=True
                    ):
                        grad[k] = direction_grad
        return grad_u, grad_params, *grad_weights


def _sum_states(x: Tensor) -> Tensor:
    """Sum over the last dimension, the states; the paper's models have one."""
    return x.squeeze(-1) if x.shape[-1] == 1 else x.sum(-1)


def _scan_backward(u: Tensor, direction: _Direction, grad_y: Tensor) -> tuple[Tensor, ...]:
    """Return one direction's gradients of u, its ssm_params, dt_weight, dt_bias, A_log and D."""
    _, B, C, dt_weight, _, A, D, reverse = direction
    dt_input, dt, decay, inflow, h = _scan(u, direction)

    # dL/dh follows the same recurrence against the walk, with the decay of the step after.
    following = torch.zeros_like(decay)
    if reverse:
        following[:, 1:] = decay[:, :-1]
    else:
        following[:, :-1] = decay[:, 1:]
    grad_h = linear_recurrence(
        following.flatten(2), (grad_y.unsqueeze(-1) * C).flatten(2), not reverse
    ).view_as(h)

    decayed = h - inflow  # decay * the state of the step before
    grad_C = (grad_y.unsqueeze(-1) * h).sum(2)
    grad_dt_times_B = (grad_h * u.unsqueeze(-1)).mul_(dt)
    grad_B = grad_dt_times_B.sum(2)
    grad_inflow = _sum_states(grad_h * B)  # of dt * u
    grad_decay = decayed.mul_(grad_h)  # of the logarithm of decay, dt * A
    grad_dt = (grad_inflow * u).add_(_sum_states(grad_decay * A))
    grad_u = grad_inflow.mul_(dt.squeeze(-1)).addcmul_(grad_y, D)
    grad_A_log = grad_decay.mul_(dt).sum((0, 1)) * A  # dA/dA_log = A
    grad_dt_input = grad_dt.mul_(torch.sigmoid(dt_input))
    grad_dt_low = grad_dt_input @ dt_weight
    grad_dt_weight = grad_dt_input.flatten(0, 1).T @ direction.dt_low.flatten(0, 1)
    grad_params = torch.cat((grad_dt_low, grad_B, grad_C), -1)
    return (
        grad_u,
        grad_params,
        grad_dt_weight,
        grad_dt_input.sum((0, 1)),
        grad_A_log,
        (grad_y * u).sum((0, 1)),
    )
