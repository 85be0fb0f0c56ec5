import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hrvmamba.layers import DVSSBlock
from hrvmamba.models import ARCHS, Arch, HRVMamba
from hrvmamba.models.checks import resolve_arch
from hrvmamba.models.hrvmamba import Bottleneck, Fusion

PARAMETERS = {"nano": 676_664, "tiny": 2_322_656, "small": 8_033_840, "base": 47_099_616}

SMALLEST = dict(bottleneck_channels=4, channels=(4, 8, 12, 16), use_lpu=True, use_se=True)


def meta_model(arch, **options):
    with torch.device("meta"):
        return HRVMamba(arch, **options)


@pytest.mark.parametrize("arch", PARAMETERS)
def test_number_of_parameters(arch):
    model = meta_model(arch)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[arch]


@pytest.mark.parametrize("size", [(32, 32), (33, 65), (64, 48), (50, 71)], ids=str)
def test_shapes_of_any_size(size):
    model = HRVMamba(SMALLEST, out_indices=(0, 1, 2, 3)).eval()
    with torch.inference_mode():
        maps = model(torch.randn(2, 3, *size))
    expected = []
    for index, channels in enumerate(SMALLEST["channels"]):
        stride = 4 * 2**index
        expected.append((2, channels, -(-size[0] // stride), -(-size[1] // stride)))
    assert [tuple(x.shape) for x in maps] == expected
    assert model.out_channels == SMALLEST["channels"]


@pytest.mark.parametrize("arch", ARCHS)
def test_shapes_of_the_presets(arch):
    model = meta_model(arch, in_channels=1, out_indices=(1, 3)).eval()
    maps = model(torch.empty(1, 1, 256, 192, device="meta"))
    channels = ARCHS[arch].channels
    assert [tuple(x.shape) for x in maps] == [(1, channels[1], 32, 24), (1, channels[3], 8, 6)]


def test_bottleneck():
    """Three convolutions with a residual, each normalised, the last without ReLU of its own."""
    block = Bottleneck(8, 4, nn.BatchNorm2d).eval()
    x = torch.randn(2, 8, 5, 4)
    y = x
    for conv, norm, *_ in (block.conv1, block.conv2, block.conv3):
        y = F.conv2d(y, conv.weight, padding=conv.kernel_size[0] // 2)
        y = y / (1 + norm.eps) ** 0.5  # the initial statistics
        y = y.relu() if norm.num_features == 4 else y
    shortcut = F.conv2d(x, block.downsample[0].weight) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(block(x), (y + shortcut).relu())


def test_fusion():
    """HRFormer's, for the middle of three branches and the coarsest: up, along, and down twice."""
    fusion = Fusion((4, 6, 8), (1, 2), nn.BatchNorm2d).eval()
    maps = [torch.randn(1, 4, 9, 8), torch.randn(1, 6, 5, 4), torch.randn(1, 8, 3, 2)]
    scale = (1 + 1e-5) ** -0.5

    def link(x, convs):
        depthwise, _, pointwise, *_ = convs
        x = scale * F.conv2d(x, depthwise.weight, stride=2, padding=1, groups=x.shape[1])
        return scale * F.conv2d(x, pointwise.weight)

    into_1, into_2 = fusion.paths["1"], fusion.paths["2"]
    up = scale * F.conv2d(maps[2], into_1[2][0].weight)
    up = F.interpolate(up, size=(5, 4), mode="bilinear", align_corners=False)
    middle = (link(maps[0], into_1[0][0]) + maps[1] + up).relu()
    down = link(link(maps[0], into_2[0][0]).relu(), into_2[0][1])
    coarsest = (down + link(maps[1], into_2[1][0]) + maps[2]).relu()
    torch.testing.assert_close(fusion(maps), [middle, coarsest])


def test_the_last_module_fuses_into_the_branches_returned():
    fine, coarse = (HRVMamba(SMALLEST, out_indices=indices) for indices in ((0,), (2, 0)))
    assert set(fine.stage4[-1].fusion.paths) == {"0"}
    assert set(coarse.stage4[-1].fusion.paths) == {"2", "0"}
    coarse.load_state_dict(fine.state_dict(), strict=False)
    x = torch.randn(1, 3, 32, 32)
    maps = coarse.eval()(x)
    assert [x.shape[1] for x in maps] == [12, 4]
    torch.testing.assert_close(maps[1], fine.eval()(x)[0])


def test_every_parameter_gets_a_gradient():
    # Wide enough that no squeeze and excitation has all its few hidden units at zero.
    wider = SMALLEST | dict(channels=(16, 16, 16, 16))
    model = HRVMamba(wider, drop_path_rate=0.0)
    for parameter in model.parameters():  # the initial offsets and masks are zero
        nn.init.uniform_(parameter, -0.1, 0.3)
    model(torch.randn(2, 3, 64, 48))[0].square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def test_checkpointing_changes_nothing():
    """Same outputs, gradients and batch statistics, dropout and stochastic depth included."""
    options = dict(drop_path_rate=0.3, drop_rate=0.2)
    models = [HRVMamba(SMALLEST, with_cp=with_cp, **options) for with_cp in (False, True)]
    models[1].load_state_dict(models[0].state_dict())
    x, results = torch.randn(2, 3, 48, 32), []
    for model in models:
        torch.manual_seed(0)
        (y,) = model(x)
        y.square().mean().backward()
        results.append((y, [p.grad for p in model.parameters()], list(model.buffers())))
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_checkpointing_keeps_fewer_activations():
    kept = []
    for with_cp in (False, True):
        model = HRVMamba(SMALLEST, with_cp=with_cp)
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(_counter(kept), lambda x: x):
            model(torch.randn(1, 3, 64, 64))
    assert kept[1] < kept[0] / 2


def _counter(kept):
    def count(tensor):
        kept[-1] += tensor.numel()
        return tensor

    return count


def test_drop_path_grows_over_the_block_positions():
    model = meta_model("nano", drop_path_rate=0.26)
    for branch in range(4):
        rates = [
            block.drop_path.rate
            for stage in (model.stage2, model.stage3, model.stage4)
            for module in stage
            if branch < len(module.branches)
            for block in module.branches[branch]
        ]
        first = 14 - len(rates)
        assert rates == pytest.approx([0.02 * position for position in range(first, 14)])


@pytest.mark.parametrize(
    ("arch", "option", "applies"),
    [("tiny", None, True), ("small", None, False), ("tiny", False, False), ("small", True, True)],
)
def test_drop_path_of_esinb(arch, option, applies):
    model = meta_model(arch, drop_path_rate=0.1, esinb_drop_path=option)
    block = model.stage4[-1].branches[0][-1]
    assert block.esinb_drop_path.rate == pytest.approx(0.1 if applies else 0.0)


def test_dropout_is_in_every_block():
    model = meta_model("small", drop_rate=0.1)
    for block in (module for module in model.modules() if isinstance(module, DVSSBlock)):
        assert block.dss2d.drop.p == block.ffn.drop.p == 0.1


def test_initial_convolutions():
    model = HRVMamba("nano")
    weights = [m.weight.detach() for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert torch.cat([weight.flatten() for weight in weights]).std() == pytest.approx(
        1e-3, rel=0.05
    )
    biases = [m.bias for m in model.modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    assert biases and not any(bias.any() for bias in biases)


@pytest.mark.parametrize("frozen_stages", [-1, 0, 1, 2, 4])
def test_frozen_stages(frozen_stages):
    model = HRVMamba(SMALLEST, frozen_stages=frozen_stages).train()
    order = ["stem", "stage1", "transition1", "stage2", "transition2", "stage3", "transition3"]
    order.append("stage4")
    frozen = order[: {-1: 0, 0: 1, 1: 3, 2: 5, 4: 8}[frozen_stages]]
    for name, child in model.named_children():
        trained = [parameter.requires_grad for parameter in child.parameters()]
        assert not any(trained) if name in frozen else all(trained)
        assert all(module.training == (name not in frozen) for module in child.modules())


def test_norm_eval():
    model = HRVMamba(SMALLEST, norm_eval=True).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)
    assert model.stage2.training
    before = [norm.running_mean.clone() for norm in norms]
    model(torch.randn(2, 3, 32, 32))
    assert all(torch.equal(a, norm.running_mean) for a, norm in zip(before, norms, strict=True))


def test_norm_layer():
    model = HRVMamba(SMALLEST, norm_layer=lambda channels: nn.GroupNorm(2, channels))
    kinds = {type(module) for module in model.modules()}
    assert nn.GroupNorm in kinds and nn.BatchNorm2d not in kinds


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(arch="large"), ValueError, "one of nano, tiny, small, base or a dict, got 'large'"),
        (
            dict(arch=dict(widths=(8, 16, 32, 64))),
            ValueError,
            r"bottleneck_channels, channels, use_lpu, use_se, use_offset_conv, dilations, esinb, "
            r"esinb_kernel_sizes \(bottleneck_channels, channels required\)",
        ),
        (dict(arch=dict(bottleneck_channels=4, channels=(4, 8))), ValueError, "4 widths"),
        (dict(arch=SMALLEST | dict(esinb="head")), ValueError, "one of block, ffn, none"),
        (dict(arch=SMALLEST | dict(dilations=[])), ValueError, "dilations must hold from 1 to 8"),
        (dict(arch=SMALLEST | dict(esinb_kernel_sizes=[4])), ValueError, "odd positive integers"),
        (dict(droprate=0.1), TypeError, "unknown options droprate; allowed are arch, drop_path"),
        (dict(out_indices=(4,)), ValueError, r"out_indices must hold .* 0 to 3, got \(4,\)"),
        (dict(out_indices=()), ValueError, "out_indices"),
        (dict(out_indices=3), ValueError, r"out_indices must hold branches from 0 to 3, got 3"),
        (dict(frozen_stages=5), ValueError, "frozen_stages must be from -1 to 4, got 5"),
        (dict(drop_path_rate=1.5), ValueError, r"drop_path_rate must be in \[0, 1\), got 1.5"),
    ],
)
def test_refuses_options(options, error, message):
    with pytest.raises(error, match=message):
        meta_model(**{"arch": "nano", **options})


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(1, 3, 31, 64), ValueError, "at least 32 pixels high and wide, got 31 x 64"),
        (torch.zeros(3, 64, 64), ValueError, r"\(B, in_channels = 3, H, W\), got \(3, 64, 64\)"),
        (torch.zeros(1, 1, 64, 64), ValueError, r"in_channels = 3.*got \(1, 1, 64, 64\)"),
        (torch.zeros(1, 3, 64, 64).double(), TypeError, "float32, as the model is, got .*float64"),
        (torch.zeros(1, 3, 64, 64, device="meta"), ValueError, "on cpu, as the model is, got meta"),
        ("image.jpg", TypeError, "x must be a torch.Tensor, got str"),
    ],
)
def test_refuses_inputs(x, error, message):
    with pytest.raises(error, match=message):
        HRVMamba(SMALLEST)(x)


def test_an_arch_of_ones_own():
    own = Arch(**SMALLEST)
    shapes = [
        {name: value.shape for name, value in meta_model(arch).state_dict().items()}
        for arch in (own, SMALLEST)
    ]
    assert shapes[0] == shapes[1]


def test_an_arch_by_name_by_itself_or_by_fields():
    tiny = ARCHS["tiny"]
    assert resolve_arch("tiny", ARCHS) is tiny is resolve_arch(tiny, ARCHS)
    as_json = json.loads(json.dumps(dataclasses.asdict(tiny)))
    assert resolve_arch(as_json, ARCHS) == tiny


@pytest.mark.parametrize(
    "changes",
    [
        dict(dilations=[1, 3, 5]),  # a list, as JSON has it
        dict(esinb="ffn"),
        dict(esinb="none"),
        dict(esinb_kernel_sizes=[3, 3, 3, 3]),
    ],
    ids=str,
)
def test_the_arch_reaches_every_block(changes):
    model = meta_model(SMALLEST | changes)
    for name, block in model.named_modules():
        if isinstance(block, DVSSBlock):
            (channels,) = block.dss2d_norm.normalized_shape
            alone = DVSSBlock(channels, use_lpu=True, use_se=True, **changes)
            assert str(block.dss2d) == str(alone.dss2d), name
            assert str(block.esinb) == str(alone.esinb), name
            assert str(block.ffn) == str(alone.ffn), name


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_autocast_takes_floating_inputs_alone(dtype):
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(TypeError, match=r"got torch\.\w+"):
        HRVMamba(SMALLEST)(torch.zeros(1, 3, 64, 64, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype):
    model = HRVMamba(SMALLEST).train()
    with torch.autocast("cpu", dtype):
        (y,) = model(torch.randn(2, 3, 64, 48))
    y.float().square().mean().backward()
    assert y.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
