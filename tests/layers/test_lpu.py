import torch
import torch.nn.functional as F

from hrvmamba.layers import LPU


def test_adds_a_depthwise_convolution():
    lpu = LPU(6)
    x = torch.randn(2, 5, 4, 6)
    conv = F.conv2d(x.permute(0, 3, 1, 2), lpu.weight, lpu.bias, padding=1, groups=6)
    torch.testing.assert_close(lpu(x), x + conv.permute(0, 2, 3, 1))
