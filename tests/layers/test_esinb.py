import pytest
import torch
import torch.nn.functional as F

from hrvmamba.layers import ESInB


@pytest.mark.parametrize("sizes", [(3, 5, 7, 9), (3, 3, 3, 3)], ids=str)
def test_equals_shufflenets_shuffle_of_the_concat(sizes):
    esinb = ESInB(12, sizes)
    x = torch.randn(2, 5, 6, 12)
    nchw = x.permute(0, 3, 1, 2)
    maps = [
        F.conv2d(split, conv.weight, conv.bias, padding=size // 2, groups=3)
        for split, conv, size in zip(nchw.split(3, 1), esinb.convs, sizes, strict=True)
    ]
    shuffled = torch.cat(maps, 1).view(2, 4, 3, 5, 6).transpose(1, 2).reshape(2, 12, 5, 6)
    torch.testing.assert_close(esinb(x).permute(0, 3, 1, 2), F.gelu(shuffled))


def test_refuses_channels():
    with pytest.raises(ValueError, match="divisible by 4, got 6"):
        ESInB(6)


@pytest.mark.parametrize("sizes", [(), (3, 4), (3, -1), (3.0,)], ids=str)
def test_refuses_kernel_sizes(sizes):
    with pytest.raises(ValueError, match=r"odd positive integers, such as \(3, 5, 7, 9\), got \("):
        ESInB(12, sizes)
