import pytest
import torch
from torch import nn

from hrvmamba.models import HRNetNeck, HRNetPyramid

CHANNELS = (4, 8, 12, 16)


def branches(height, width):
    """Maps of four branches, each half the size of the one ahead, rounded up."""
    sizes = [(-(-height // 2**i), -(-width // 2**i)) for i in range(4)]
    return [torch.randn(2, c, *size) for c, size in zip(CHANNELS, sizes, strict=True)]


@pytest.mark.parametrize("size", [(16, 8), (13, 9)], ids=str)
def test_maps_are_of_the_branches_sizes(size):
    maps, pyramid = branches(*size), HRNetPyramid(CHANNELS).eval()
    outputs = pyramid(maps)
    assert pyramid.out_channels == (128, 256, 512, 2048)
    assert [y.shape[1] for y in outputs] == list(pyramid.out_channels)
    assert [y.shape[2:] for y in outputs] == [x.shape[2:] for x in maps]


def test_maps_are_those_inside_the_classifiers_neck():
    """Normalised over their channels at each position; the neck's vector is the last one's mean."""
    neck, pyramid = HRNetNeck(CHANNELS).eval(), HRNetPyramid(CHANNELS).eval()
    pyramid.load_state_dict(neck.state_dict(), strict=False)
    for parameter in pyramid.norms.parameters():
        nn.init.uniform_(parameter)
    maps = branches(16, 8)
    outputs, fused = pyramid(maps), neck.fuse(maps)
    for norm, output, x in zip(pyramid.norms, outputs, fused, strict=True):
        variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
        scale, shift = norm.weight[:, None, None], norm.bias[:, None, None]
        torch.testing.assert_close(output, (x - mean) / (variance + 1e-5).sqrt() * scale + shift)
    torch.testing.assert_close(fused[-1].mean((2, 3)), neck(maps))


def test_every_parameter_gets_a_gradient():
    pyramid = HRNetPyramid(CHANNELS)
    sum((y * torch.randn_like(y)).sum() for y in pyramid(branches(16, 8))).backward()
    assert all(parameter.grad.any() for parameter in pyramid.parameters())


def test_refuses_other_maps():
    with pytest.raises(ValueError, match=r"must have \(4, 8, 12, 16\) channels, got \(4, 8, 12\)"):
        HRNetPyramid(CHANNELS)(branches(16, 8)[:3])
    with pytest.raises(ValueError, match=r"in_channels must hold 4 widths, got \(4, 8\)"):
        HRNetPyramid((4, 8))
