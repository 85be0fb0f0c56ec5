import pytest
import torch
import torch.nn.functional as F

from hrvmamba.layers import DSS2D
from hrvmamba.ops import deform_sample, selective_scan_2d


def randomise(module):
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


@pytest.mark.parametrize("channels", [8, 32, 80])
def test_widths(channels):
    dss2d = DSS2D(channels)
    dt_rank = -(-channels // 16)
    assert dss2d.dt_rank == dss2d.groups == dt_rank
    shapes = {name: tuple(parameter.shape) for name, parameter in dss2d.named_parameters()}
    width = 2 * channels
    assert shapes == {
        "in_proj.weight": (width, channels),
        "offset_mask.weight": (-(-27 * dt_rank // 8) * 8, width),
        "offset_mask.bias": (-(-27 * dt_rank // 8) * 8,),
        "x_proj.weight": (4 * (dt_rank + 2), width),
        "dt_weight": (4, width, dt_rank),
        "dt_bias": (4, width),
        "A_log": (4, width, 1),
        "Dskip": (4, width),
        "out_norm.weight": (width,),
        "out_norm.bias": (width,),
        "out_proj.weight": (channels, width),
    }


def test_initial_values_are_mambas():
    dss2d = DSS2D(64, d_state=3)
    assert not dss2d.offset_mask.weight.any() and not dss2d.offset_mask.bias.any()
    torch.testing.assert_close(dss2d.A_log[2, 5], torch.tensor([1.0, 2.0, 3.0]).log())
    assert (dss2d.Dskip == 1).all()
    assert dss2d.dt_weight.abs().max() <= 4**-0.5
    dt = F.softplus(dss2d.dt_bias.detach())
    assert 0.9e-3 <= dt.min() < 2e-3 and 0.05 < dt.max() <= 0.1001
    assert dt.log().mean() == pytest.approx(-4.6, abs=0.2)  # log-uniform: the middle is 1e-2


@pytest.mark.parametrize("use_offset_conv", [False, True])
def test_steps(use_offset_conv):
    """DESIGN: project, sample, SiLU, scan, norm, squeeze and excitation, project."""
    dss2d = randomise(DSS2D(32, use_se=True, use_offset_conv=use_offset_conv))
    x = torch.randn(2, 5, 6, 32)
    value = x @ dss2d.in_proj.weight.T
    query = value
    if use_offset_conv:
        conv = dss2d.offset_conv
        query = F.conv2d(value.permute(0, 3, 1, 2), conv.weight, conv.bias, padding=1, groups=64)
        query = query.permute(0, 2, 3, 1)
    offset_mask = query @ dss2d.offset_mask.weight.T + dss2d.offset_mask.bias
    u = F.silu(deform_sample(value, offset_mask, 2))
    # One projection for each direction, as the authors keep them.
    params = torch.stack([u @ weight.T for weight in dss2d.x_proj.weight.view(4, 4, 64)], 3)
    y = selective_scan_2d(u, params, dss2d.dt_weight, dss2d.dt_bias, dss2d.A_log, dss2d.Dskip)
    y = dss2d.se(F.layer_norm(y, (64,), dss2d.out_norm.weight, dss2d.out_norm.bias, 1e-5))
    torch.testing.assert_close(dss2d(x), y @ dss2d.out_proj.weight.T)


def test_refuses_channels_that_do_not_divide_into_groups():
    with pytest.raises(ValueError, match="got 68: D = 136, 5 groups"):
        DSS2D(68)


def test_drops_out_its_output():
    dss2d = randomise(DSS2D(32, drop_rate=0.5))
    x = torch.randn(4, 8, 8, 32)
    assert 0.4 < (dss2d(x) == 0).float().mean() < 0.6
    assert (dss2d.eval()(x) != 0).all()
