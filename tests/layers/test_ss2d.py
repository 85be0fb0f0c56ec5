import pytest
import torch
import torch.nn.functional as F

from hrvmamba.layers import DSS2D, SS2D
from hrvmamba.ops import selective_scan_2d


def randomise(module):
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def dilated(value, weight, bias, dilation):
    """A depthwise 3x3 correlation of ``(B, H, W, C)`` by its definition: nine shifted products."""
    height, width = value.shape[1:3]
    padded = F.pad(value, (0, 0, dilation, dilation, dilation, dilation))
    total = bias.expand_as(value).clone()
    for row in range(3):
        for column in range(3):
            top, left = row * dilation, column * dilation
            shifted = padded[:, top : top + height, left : left + width]
            total += weight[:, 0, row, column] * shifted
    return total


@pytest.mark.parametrize(
    ("dilations", "shares"),
    [((1,), (16,)), ((3,), (16,)), ((5,), (16,)), ((1, 3, 5), (6, 5, 5)), ((2, 1), (8, 8))],
)
def test_sampling_is_a_dilated_convolution_of_each_share(dilations, shares):
    ss2d = randomise(SS2D(8, dilations=dilations)).double()
    value = torch.randn(2, 7, 6, 16, dtype=torch.double)
    sampled = [
        dilated(part, conv.weight, conv.bias, dilation)
        for part, conv, dilation in zip(
            value.split(shares, -1), ss2d.sampling, dilations, strict=True
        )
    ]
    s = torch.cat(sampled, -1)
    torch.testing.assert_close(ss2d.sample(value), s * torch.sigmoid(s))


def test_steps():
    """Project, sample, scan, norm, squeeze and excitation, project."""
    ss2d = randomise(SS2D(32, use_se=True, dilations=(1, 3, 5)))
    x = torch.randn(2, 5, 6, 32)
    u = ss2d.sample(x @ ss2d.in_proj.weight.T)
    params = torch.stack([u @ weight.T for weight in ss2d.x_proj.weight.view(4, 4, 64)], 3)
    y = selective_scan_2d(u, params, ss2d.dt_weight, ss2d.dt_bias, ss2d.A_log, ss2d.Dskip)
    y = ss2d.se(F.layer_norm(y, (64,), ss2d.out_norm.weight, ss2d.out_norm.bias, 1e-5))
    torch.testing.assert_close(ss2d(x), y @ ss2d.out_proj.weight.T)


def test_is_dss2d_but_for_the_sampling():
    """Every parameter outside the sampling has DSS2D's name and shape."""
    ours, deformable = (
        {name: tuple(parameter.shape) for name, parameter in layer.named_parameters()}
        for layer in (SS2D(32, d_state=2, use_se=True), DSS2D(32, d_state=2, use_se=True))
    )
    sampling = {"sampling.0.weight": (64, 1, 3, 3), "sampling.0.bias": (64,)}
    assert ours.items() - deformable.items() == sampling.items()
    assert {name for name, _ in deformable.items() - ours.items()} == {
        "offset_mask.weight",
        "offset_mask.bias",
    }


def test_inner_width():
    ss2d = SS2D(48, d_inner=56)
    assert ss2d.in_proj.weight.shape == (56, 48) and ss2d.out_proj.weight.shape == (48, 56)
    assert ss2d.dt_weight.shape == (4, 56, 3)  # the rank is of C
    assert ss2d(torch.randn(1, 3, 4, 48)).shape == (1, 3, 4, 48)


@pytest.mark.parametrize("dilations", [(1,), (1, 3, 5)], ids=str)
def test_every_parameter_gets_a_gradient(dilations):
    ss2d = SS2D(32, dilations=dilations, use_se=True)
    ss2d(torch.randn(2, 6, 5, 32)).square().mean().backward()
    assert all(parameter.grad.any() for parameter in ss2d.parameters())


@pytest.mark.parametrize("dilations", [(), (0,), (1, -3), (1.5,), (1,) * 17], ids=str)
def test_refuses_dilations(dilations):
    with pytest.raises(ValueError, match=r"dilations must hold from 1 to 16 positive .*got"):
        SS2D(8, dilations=dilations)
