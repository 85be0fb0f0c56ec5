import pytest
import torch

from hrvmamba.ops.linear_recurrence import linear_recurrence


def step_by_step(a, b):
    h, states = torch.zeros_like(b[:, 0]), []
    for t in range(a.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return torch.stack(states, 1)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 48, 255, 256, 257, 1000])
def test_equals_the_steps(length):
    a, b = torch.rand(2, length, 3, dtype=torch.float64), torch.randn(2, length, 3).double()
    torch.testing.assert_close(linear_recurrence(a, b), step_by_step(a, b))
    reversed_steps = step_by_step(a.flip(1), b.flip(1)).flip(1)
    torch.testing.assert_close(linear_recurrence(a, b, reverse=True), reversed_steps)


def test_leaves_its_arguments_alone():
    a, b = torch.rand(1, 40, 2), torch.randn(1, 40, 2)
    copies = a.clone(), b.clone()
    linear_recurrence(a, b)
    assert torch.equal(a, copies[0]) and torch.equal(b, copies[1])


@pytest.mark.parametrize("factor", [0.0, 1e-30, 1.0])
def test_extreme_factors_stay_exact(factor):
    a, b = torch.full((1, 5000, 1), factor), torch.ones(1, 5000, 1)
    expected = torch.arange(1.0, 5001) if factor == 1 else torch.ones(5000)
    assert torch.equal(linear_recurrence(a, b)[0, :, 0], expected)
