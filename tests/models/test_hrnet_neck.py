import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hrvmamba.models import HRNetNeck

WIDTHS = (4, 6, 8, 10)


def maps(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    return [torch.randn(2, c, *size) for c, size in zip(WIDTHS, sizes, strict=True)]


def test_widens_fuses_downwards_and_pools():
    neck = HRNetNeck(WIDTHS, out_channels=12).eval()
    x = maps((9, 7), (5, 4), (3, 2), (2, 1))  # sizes that halving rounds up
    scale = (1 + 1e-5) ** -0.5  # of a batch norm with the initial statistics

    total = neck.widen[0](x[0])
    for level in (1, 2, 3):
        down = scale * F.conv2d(total, neck.down[level - 1][0].weight, stride=2, padding=1)
        total = down.relu() + neck.widen[level](x[level])
    vector = (scale * F.conv2d(total, neck.final[0].weight)).relu().mean((2, 3))
    torch.testing.assert_close(neck(x), vector)
    assert vector.shape == (2, 12) == (2, neck.out_channels)
    assert [widen.out_channels for widen in neck.widen] == [128, 256, 512, 1024]


def test_norm_layer():
    neck = HRNetNeck(WIDTHS, norm_layer=lambda channels: nn.GroupNorm(2, channels))
    kinds = {type(module) for module in neck.modules()}
    assert nn.GroupNorm in kinds and nn.BatchNorm2d not in kinds


def test_refuses_other_maps():
    with pytest.raises(ValueError, match=r"in_channels must hold 4 widths, got \(8, 16\)"):
        HRNetNeck((8, 16))
    neck = HRNetNeck(WIDTHS)
    x = maps((8, 8), (4, 4), (2, 2), (1, 1))
    for wrong in (x[:3], x[::-1]):
        with pytest.raises(ValueError, match=r"must have \(4, 6, 8, 10\) channels, got \("):
            neck(wrong)
