import pytest
import torch
import torch.nn.functional as F

from hrvmamba.layers import ESInB


def test_equals_shufflenets_shuffle_of_the_concat():
    esinb = ESInB(12)
    x = torch.randn(2, 5, 6, 12)
    nchw = x.permute(0, 3, 1, 2)
    maps = [
        F.conv2d(split, conv.weight, conv.bias, padding=size // 2, groups=3)
        for split, conv, size in zip(nchw.split(3, 1), esinb.convs, (3, 5, 7, 9), strict=True)
    ]
    shuffled = torch.cat(maps, 1).view(2, 4, 3, 5, 6).transpose(1, 2).reshape(2, 12, 5, 6)
    torch.testing.assert_close(esinb(x).permute(0, 3, 1, 2), F.gelu(shuffled))


def test_refuses_channels():
    with pytest.raises(ValueError, match="divisible by 4, got 6"):
        ESInB(6)
