import torch
from torch import nn

from hrvmamba.export.calibration import calibrate_norms


def test_norms_get_the_statistics_of_the_inputs():
    network = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), nn.Dropout(0.5)).eval()
    x = 3 * torch.randn(5, 3, 8, 8) + 2
    calibrate_norms(network, x)
    out = network(x)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)
    assert network[0].momentum == 0.3
    assert not any(module.training for module in network.modules())
