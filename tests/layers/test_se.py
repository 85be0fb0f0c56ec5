import torch

from hrvmamba.layers import SE


def test_scales_by_a_gate_of_the_mean():
    se = SE(16)
    x = torch.randn(2, 3, 4, 16)
    mean = x.flatten(1, 2).mean(1)
    gate = torch.sigmoid((mean @ se.reduce.weight.T).relu() @ se.expand.weight.T)
    torch.testing.assert_close(se(x), x * gate.view(2, 1, 1, 16))
    assert se.reduce.weight.shape == (2, 16)
