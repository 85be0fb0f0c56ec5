import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hrvmamba.analysis import cost
from hrvmamba.models import HRVMamba, HRVMambaClassifier, VMamba
from hrvmamba.ops import backend


@pytest.mark.parametrize(
    ("arch", "size", "gmacs"),
    [
        ("tiny", (256, 192), 1.1),
        ("small", (256, 192), 3.3),
        ("base", (256, 192), 14.2),
        ("small", (384, 288), 7.4),
        ("base", (384, 288), 32.0),
    ],
)
def test_macs_are_the_papers(arch, size, gmacs):
    with torch.device("meta"):
        model = HRVMamba(arch)
    counted = cost(model, size)
    assert counted.macs == pytest.approx(gmacs * 1e9, rel=0.02)
    assert counted.macs == sum(counted.groups.values())
    assert counted.parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("arch", "side", "gmacs"),
    [("nano", 256, 1.9), ("tiny", 256, 2.8), ("small", 256, 5.8), ("base", 224, 15.8)],
)
def test_macs_of_the_classifiers_are_the_papers(arch, side, gmacs):
    with torch.device("meta"):
        model = HRVMambaClassifier(arch)
    assert cost(model, (side, side)).macs == pytest.approx(gmacs * 1e9, rel=0.02)


def test_convolutions_and_linear_layers_are_torchs():
    """torch counts the same products, two operations each, and knows nothing of the scan's."""
    model = HRVMamba("nano").eval()
    # The compiled scan keeps its dt projections from torch's sight.
    with backend("reference"), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.randn(1, 3, 64, 48))
    groups = cost(model, (64, 48)).groups
    layers = groups["convolutions"] + groups["depthwise convolutions"] + groups["linear layers"]
    assert counter.get_total_flops() == 2 * (layers + groups["dt projections"])


def test_names_what_it_counted():
    text = str(cost(HRVMamba("nano"), (64, 48)))
    for part in ("parameters 676,664", "at 64x48", "selective scans", "deformable sampling"):
        assert part in text


def test_other_layers_of_pose_models():
    """A deconvolution, as torch counts it, and group norms."""
    model = nn.Sequential(nn.ConvTranspose2d(3, 8, 4, 2, 1), nn.GroupNorm(2, 8))
    # The compiled scan keeps its dt projections from torch's sight.
    with backend("reference"), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.randn(1, 3, 10, 12))
    assert cost(model, (10, 12)).groups == {
        "convolutions": counter.get_total_flops() // 2,
        "normalisations": 2 * 8 * 20 * 24,
    }


def test_the_model_is_left_alone():
    model = HRVMamba("nano").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    cost(model, (64, 48))
    assert model.training and not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class Attention(nn.Module):
    """Self-attention of the positions of a map."""

    def __init__(self, channels):
        super().__init__()
        self.patches = nn.Conv2d(3, channels, 4, 4)
        self.attention = nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens)[0]


def test_attention():
    """Its four projections, and two products of all tokens with all."""
    L, C = 8 * 6, 16
    groups = cost(Attention(C), (32, 24)).groups
    assert groups == {"convolutions": 48 * L * C, "other products": 4 * L * C**2 + 2 * L**2 * C}


def test_vmamba():
    """Its scans as those of HRVMamba; nothing is counted twice, and nothing deformed."""
    arch = dict(channels=16, depths=(1, 1, 1, 1), ssm_ratio=1.5)
    groups = cost(VMamba(arch, out_indices=(0,)), (64, 48)).groups
    positions, inner, rank = 16 * 12, 24, 1
    assert groups["dt projections"] == 4 * positions * inner * rank
    assert groups["selective scans"] == 4 * 10 * positions * inner
    assert groups["depthwise convolutions"] == 9 * positions * inner
    block = 2 * 16 * inner + 4 * inner * (rank + 2) + 2 * 16 * 64
    assert groups["linear layers"] == positions * block
    assert set(groups) == {
        "convolutions",
        "depthwise convolutions",
        "linear layers",
        "dt projections",
        "selective scans",
        "normalisations",
    }
