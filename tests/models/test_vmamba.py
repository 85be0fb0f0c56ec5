import pytest
import torch
import torch.nn.functional as F

from hrvmamba.layers import VSSBlock
from hrvmamba.models import VMamba
from hrvmamba.models.vmamba import ARCHS, Arch

SMALLEST = dict(channels=8, depths=(1, 2, 1, 1), ssm_ratio=1.5)


def meta_model(arch, **options):
    with torch.device("meta"):
        return VMamba(arch, **options)


def parameters_by_formula(channels, depths, ssm_ratio):
    """The parameters of VMamba's published form: 3x3 convolutions, VSS blocks, norms, no head."""
    half = channels // 2
    total = 27 * half + half + 2 * half  # convolution, bias, norm
    total += 9 * half * channels + channels + 2 * channels
    for stage, depth in enumerate(depths):
        width = channels * 2**stage
        inner, rank = int(ssm_ratio * width), -(-width // 16)
        ss2d = 2 * width * inner + 9 * inner + 4 * inner * (rank + 2)  # projections, convolution
        ss2d += 4 * (inner * rank + inner) + 8 * inner + 2 * inner  # dt, A and D, norm
        ffn = 8 * width**2 + 5 * width
        total += depth * (ss2d + ffn + 4 * width)
        if stage:
            total += 9 * (width // 2) * width + width + 2 * width
    return total + 2 * width


@pytest.mark.parametrize("arch", ARCHS)
def test_number_of_parameters(arch):
    counted = sum(parameter.numel() for parameter in meta_model(arch).parameters())
    preset = ARCHS[arch]
    assert counted == parameters_by_formula(preset.channels, preset.depths, preset.ssm_ratio)


@pytest.mark.parametrize("size", [(32, 32), (33, 65), (64, 48), (50, 71)], ids=str)
def test_shapes_of_any_size(size):
    model = VMamba(SMALLEST, out_indices=(0, 1, 2, 3)).eval()
    with torch.inference_mode():
        maps = model(torch.randn(2, 3, *size))
    expected = []
    for index in range(4):
        stride = 4 * 2**index
        expected.append((2, 8 * 2**index, -(-size[0] // stride), -(-size[1] // stride)))
    assert [tuple(x.shape) for x in maps] == expected
    assert model.out_channels == (8, 16, 32, 64)


@pytest.mark.parametrize("arch", ARCHS)
def test_shapes_of_the_presets(arch):
    model = meta_model(arch, in_channels=1, out_indices=(3, 1)).eval()
    maps = model(torch.empty(1, 1, 256, 192, device="meta"))
    width = ARCHS[arch].channels
    assert [tuple(x.shape) for x in maps] == [(1, 8 * width, 8, 6), (1, 2 * width, 32, 24)]


def test_steps():
    """Two convolutions with norms and a GELU between; blocks; a convolution ahead of each stage."""
    model = VMamba(SMALLEST, out_indices=(1,)).double().eval()
    x = torch.randn(1, 3, 37, 40, dtype=torch.double)

    def halve(x, layer):
        x = F.conv2d(x, layer.conv.weight, layer.conv.bias, stride=2, padding=1)
        mean = x.mean(1, keepdim=True)
        return (x - mean) / (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()

    y = halve(F.gelu(halve(x, model.stem[0])), model.stem[2]).permute(0, 2, 3, 1)
    first, (downsampling, *second) = model.stages
    for block in first:
        y = block(y)
    y = halve(y.permute(0, 3, 1, 2), downsampling).permute(0, 2, 3, 1)
    assert [len(first), len(second)] == [1, 2]
    for block in second:
        y = block(y)
    expected = F.layer_norm(y, (16,)).permute(0, 3, 1, 2)
    torch.testing.assert_close(model(x), (expected,))


def test_no_stages_behind_the_last_map():
    whole, fine = VMamba(SMALLEST, out_indices=(0, 3)).eval(), VMamba(SMALLEST, out_indices=(0,))
    assert len(fine.stages) == 1 and len(whole.stages) == 4
    fine.load_state_dict(whole.state_dict(), strict=False)
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(fine.eval()(x)[0], whole(x)[0])


def test_every_parameter_gets_a_gradient():
    model = VMamba(SMALLEST, drop_path_rate=0.0)
    (y,) = model(torch.randn(2, 3, 64, 48))
    (y * torch.randn_like(y)).sum().backward()  # squares of what was just normed would not change
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def test_gradients_are_those_of_finite_differences():
    model = VMamba(SMALLEST | dict(depths=(1, 1, 1, 1)), out_indices=(1,), drop_path_rate=0.0)
    model = model.double()
    x = torch.randn(1, 3, 32, 32, dtype=torch.double)
    weights = torch.randn(16, 4, 4, dtype=torch.double)

    def value():
        return (model(x)[0] * weights).sum()

    names = ("stages.0.0.ss2d.A_log", "stages.0.0.ss2d.sampling.0.weight", "stem.0.conv.bias")
    parameters = dict(model.named_parameters())
    grads = torch.autograd.grad(value(), [parameters[name] for name in names])
    step = 1e-6
    for name, grad in zip(names, grads, strict=True):
        direction = torch.randn_like(grad)
        with torch.no_grad():
            parameters[name] += step * direction
            above = value()
            parameters[name] -= 2 * step * direction
            below = value()
            parameters[name] += step * direction
        torch.testing.assert_close(
            (grad * direction).sum(), (above - below) / (2 * step), rtol=1e-5, atol=1e-7
        )


def test_drop_path_grows_over_the_blocks():
    model = meta_model("tiny", drop_path_rate=0.26)
    rates = [module.drop_path.rate for module in model.modules() if isinstance(module, VSSBlock)]
    assert rates == pytest.approx([0.02 * position for position in range(14)])


def test_initial_weights():
    """Normal of 0.02 cut off at 2, but for the projection to dt, B and C."""
    model = VMamba(dict(channels=96, depths=(1, 1, 1, 1), ssm_ratio=1.0), out_indices=(0,))
    block = model.stages[0][0]
    for linear in (block.ss2d.in_proj, block.ss2d.out_proj, block.ffn.fc1, block.ffn.fc2):
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not block.ffn.fc1.bias.any()
    assert block.ss2d.x_proj.weight.std().item() == pytest.approx((3 * 96) ** -0.5, rel=0.1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(arch="small"), ValueError, "arch must be one of tiny, base or a dict, got 'small'"),
        (
            dict(arch=dict(dims=96)),
            ValueError,
            r"keys among channels, depths, ssm_ratio \(channels, depths, ssm_ratio required\)",
        ),
        (dict(arch=SMALLEST | dict(depths=[2, 2])), ValueError, r"4 numbers of blocks.*\(2, 2\)"),
        (dict(arch=SMALLEST | dict(depths=(2, 0, 2, 2))), ValueError, "1 at least"),
        (dict(arch=SMALLEST | dict(channels=7)), ValueError, "even and positive, got 7"),
        (dict(arch=SMALLEST | dict(ssm_ratio=0)), ValueError, "ssm_ratio.*greater than 0, got 0"),
        (
            dict(mlp_ratio=4),
            TypeError,
            "VMamba got unknown options mlp_ratio; "
            "allowed are arch, drop_path_rate, in_channels, out_indices$",
        ),
        (dict(out_indices=(4,)), ValueError, r"must hold stages from 0 to 3, got \(4,\)"),
        (dict(drop_path_rate=1.0), ValueError, r"drop_path_rate must be in \[0, 1\), got 1.0"),
    ],
)
def test_refuses_options(options, error, message):
    with pytest.raises(error, match=message):
        meta_model(**{"arch": "tiny", **options})


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(1, 3, 31, 64), ValueError, "at least 32 pixels high and wide, got 31 x 64"),
        (torch.zeros(1, 1, 64, 64), ValueError, r"in_channels = 3.*got \(1, 1, 64, 64\)"),
        (torch.zeros(1, 3, 64, 64).double(), TypeError, "float32, as the model is, got .*float64"),
    ],
)
def test_refuses_inputs(x, error, message):
    with pytest.raises(error, match=message):
        VMamba(SMALLEST)(x)


def test_an_arch_of_ones_own():
    own, lists = (
        Arch(**SMALLEST),
        SMALLEST | dict(depths=list(SMALLEST["depths"])),
    )  # as JSON has it
    shapes = [
        {name: value.shape for name, value in meta_model(arch).state_dict().items()}
        for arch in (own, lists)
    ]
    assert shapes[0] == shapes[1]


def test_autocast():
    model = VMamba(SMALLEST).train()
    with torch.autocast("cpu", torch.bfloat16):
        (y,) = model(torch.randn(2, 3, 64, 48))
    y.float().square().mean().backward()
    assert y.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
