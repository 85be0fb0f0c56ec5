import pytest
import torch
from torch import nn

from hrvmamba.layers import DSS2D, DVSSBlock
from hrvmamba.models import HRVMambaClassifier

SMALLEST = dict(bottleneck_channels=4, channels=(16, 16, 16, 16), use_lpu=True, use_se=True)
PARAMETERS = {
    "nano": 12_284_240,
    "tiny": 14_066_728,
    "small": 20_101_976,
    "base": 60_548_520,
}


@pytest.mark.parametrize("arch", PARAMETERS)
def test_number_of_parameters(arch):
    with torch.device("meta"):
        model = HRVMambaClassifier(arch)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[arch]


def test_logits_of_any_size():
    model = HRVMambaClassifier(SMALLEST, num_classes=7, in_channels=1).eval()
    with torch.inference_mode():
        assert model(torch.randn(2, 1, 50, 71)).shape == (2, 7)


def test_every_parameter_gets_a_gradient():
    model = HRVMambaClassifier(SMALLEST, num_classes=5, drop_path_rate=0.0)
    for module in model.modules():  # masks that are zero hide the rest of DSS2D
        if isinstance(module, DSS2D):
            nn.init.uniform_(module.offset_mask.weight, -0.1, 0.1)
            nn.init.uniform_(module.offset_mask.bias, 0.1, 0.3)
    logits = model(torch.randn(4, 3, 64, 64))
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def test_drop_path_applies_to_esinb_in_every_preset():
    with torch.device("meta"):
        model = HRVMambaClassifier("small", drop_path_rate=0.2)
    block = model.backbone.stage4[-1].branches[0][-1]
    assert isinstance(block, DVSSBlock)
    assert block.esinb_drop_path.rate == block.drop_path.rate == pytest.approx(0.2)


def test_initial_weights():
    model = HRVMambaClassifier("nano")
    offsets = [module.offset_mask for module in model.modules() if isinstance(module, DSS2D)]
    assert offsets and not any(layer.weight.any() or layer.bias.any() for layer in offsets)
    linear = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear) and module not in offsets
    ]
    weights = torch.cat([layer.weight.detach().flatten() for layer in linear])
    assert weights.std() == pytest.approx(0.02, rel=0.02)
    assert not any(layer.bias.any() for layer in linear if layer.bias is not None)
    # Kaiming's, for the ReLU behind: the variance is 2 over the number of outputs.
    weight = model.neck.down[-1][0].weight.detach()
    assert weight.std() == pytest.approx((2 / (9 * 1024)) ** 0.5, rel=0.02)


def test_refuses_options():
    with pytest.raises(TypeError, match="unknown options droprate; allowed are arch"):
        HRVMambaClassifier("nano", droprate=0.1)
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        HRVMambaClassifier("nano", num_classes=0)
