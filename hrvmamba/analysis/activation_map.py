"""What each token of a map contributes to one of them through the selective scan."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hrvmamba.ops.paths import DIRECTIONS, Paths


@torch.no_grad()
def activation_map(
    ssm_params: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    query: tuple[int, int],
) -> Tensor:
    """Compute the query's row of the matrices that the four scans are, for every channel.

    Given dt, B and C the scan is linear in its input u, channel by channel: y_k = M_k u along
    direction k. With q the query, and s a token ahead of it on the direction's path or itself::

        M_k[q, s] = sum_n C_n(q) exp(A_n * (dt summed over the tokens behind s, up to q))
                    * dt(s) * B_n(s),    plus D[k] where s is q

    Tokens behind the query contribute nothing. The merged scan's row is the sum over k. (Paper,
    section 3.1 and figure 2.)

    Only sums of dt and exponentials of what is at most zero are formed, in float64, so that
    nothing overflows and what is small is not lost in what is large.

    Args:
        ssm_params: of one sample, ``(H, W, 4, R + 2N)``, as in
            :func:`hrvmamba.ops.selective_scan_2d`; so are the next four.
        dt_weight: ``(4, D, R)``.
        dt_bias: ``(4, D)``.
        A_log: ``(4, D, N)``.
        D: ``(4, D)``.
        query: row and column of the query token.

    Returns:
        ``(4, H, W, D)``, float64: dy_k(query)/du(token), in image order.
    """
    height, width = ssm_params.shape[:2]
    dt_rank, d_state = dt_weight.shape[-1], A_log.shape[-1]
    paths = Paths(height, width, ssm_params.device)
    token = query[0] * width + query[1]
    rows = torch.zeros(
        DIRECTIONS, height * width, D.shape[-1], dtype=torch.float64, device=ssm_params.device
    )
    params = ssm_params.flatten(0, 1).double()
    for k in range(DIRECTIONS):
        path = paths.orders[k][: paths.inverses[k][token] + 1]  # up to the query
        dt_low, B, C = params[path, k].split((dt_rank, d_state, d_state), -1)
        dt = F.softplus(dt_low @ dt_weight[k].double().T + dt_bias[k].double())
        # Summed from the query backwards: no difference of two large sums is taken.
        behind = F.pad(dt[1:], (0, 0, 0, 1)).flip(0).cumsum(0).flip(0)
        log_decay = -torch.exp(A_log[k].double()) * behind.unsqueeze(-1)
        states = log_decay.exp_().mul_((B * C[-1]).unsqueeze(1))  # (tokens, D, N)
        rows[k, path] = states.sum(-1).mul_(dt)
        rows[k, token] += D[k]
    return rows.unflatten(1, (height, width))


def mean_magnitude(rows: Tensor) -> Tensor:
    """Reduce maps ``(..., D)`` to ``(...)``: the mean over channels of the absolute values."""
    return rows.abs().mean(-1)
