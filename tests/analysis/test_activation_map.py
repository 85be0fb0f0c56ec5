"""The activation map against autograd's Jacobian of the scan, and against the scan itself."""

import pytest
import torch
from torch.autograd.functional import jacobian

from hrvmamba.analysis.activation_map import activation_map, mean_magnitude
from hrvmamba.ops import selective_scan_2d

HEIGHT, WIDTH, CHANNELS, DT_RANK = 4, 5, 3, 2


def scan_arguments(d_state, height=HEIGHT, width=WIDTH):
    """What a scan of one sample is given beside its input, of all directions."""
    return {
        "ssm_params": torch.randn(height, width, 4, DT_RANK + 2 * d_state).double(),
        "dt_weight": torch.randn(4, CHANNELS, DT_RANK).double(),
        "dt_bias": torch.randn(4, CHANNELS).double(),
        "A_log": torch.randn(4, CHANNELS, d_state).double(),
        "D": torch.randn(4, CHANNELS).double(),
    }


def scan(u, arguments, direction=None):
    """The scan's output; of one direction alone if C and D of the others are set to zero."""
    arguments = {name: argument.clone() for name, argument in arguments.items()}
    if direction is not None:
        d_state = arguments["A_log"].shape[-1]
        others = [k for k in range(4) if k != direction]
        arguments["ssm_params"][..., others, -d_state:] = 0
        arguments["D"][others] = 0
    arguments["ssm_params"] = arguments["ssm_params"][None]
    return selective_scan_2d(u[None], *arguments.values())[0]


@pytest.mark.parametrize("d_state", [1, 3])
@pytest.mark.parametrize("query", [(0, 0), (0, 4), (3, 0), (3, 4), (1, 2)])
def test_is_the_jacobian_of_the_scan(query, d_state):
    """With dt, B and C fixed: each direction's, and that of the merged scan."""
    arguments = scan_arguments(d_state)
    rows = activation_map(*arguments.values(), query)
    u = torch.randn(HEIGHT, WIDTH, CHANNELS).double()
    for direction in (None, 0, 1, 2, 3):
        row = rows.sum(0) if direction is None else rows[direction]
        # (D, H, W, D): of the query's outputs by all inputs. Channels do not mix.
        full = jacobian(lambda u, k=direction: scan(u, arguments, k)[query], u)
        torch.testing.assert_close(full, torch.diag_embed(row).permute(2, 0, 1, 3))


@pytest.mark.parametrize("dt_bias", [-20.0, 0.0, 30.0])
def test_long_paths_neither_overflow_nor_lose_what_is_small(dt_bias):
    """The row of a large map gives the scan's output, for steps from 1e-9 to 30."""
    arguments = scan_arguments(2, height=96, width=72)
    arguments["dt_bias"] += dt_bias
    u = torch.randn(96, 72, CHANNELS).double()
    rows = activation_map(*arguments.values(), (50, 40))
    assert rows.isfinite().all()
    torch.testing.assert_close((rows.sum(0) * u).sum((0, 1)), scan(u, arguments)[50, 40])


def test_single_precision_is_computed_in_double():
    arguments = scan_arguments(1)
    single = {name: argument.float() for name, argument in arguments.items()}
    rows = activation_map(*single.values(), (1, 2))
    assert rows.dtype == torch.float64 and rows.shape == (4, HEIGHT, WIDTH, CHANNELS)
    double = {name: argument.double() for name, argument in single.items()}
    torch.testing.assert_close(rows, activation_map(*double.values(), (1, 2)))


def test_mean_magnitude():
    rows = torch.tensor([[1.0, -3.0], [0.0, -1.0]])
    torch.testing.assert_close(mean_magnitude(rows), torch.tensor([2.0, 0.5]))
