import pytest
import torch

from hrvmamba.layers import VSSBlock


def test_order_of_the_parts():
    block = VSSBlock(16, 24)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 6, 5, 16)
    y = x + block.ss2d(block.ss2d_norm(x))
    torch.testing.assert_close(block(x), y + block.ffn(block.ffn_norm(y)))


def test_widths():
    """VMamba's convolutions have no bias, and the rank of dt is of C, not of D."""
    shapes = {name: tuple(value.shape) for name, value in VSSBlock(48, 24).named_parameters()}
    assert shapes["ss2d.sampling.0.weight"] == (24, 1, 3, 3)
    assert "ss2d.sampling.0.bias" not in shapes
    assert shapes["ss2d.dt_weight"] == (4, 24, 3)
    assert shapes["ffn.fc1.weight"] == (4 * 48, 48)


@pytest.mark.parametrize(("rate", "same"), [(0.999, True), (0.0, False)])
def test_drop_path_is_of_both_residuals(rate, same):
    block, x = VSSBlock(8, 8, drop_path_rate=rate).train(), torch.randn(1, 4, 4, 8)
    torch.manual_seed(0)  # at this rate all paths that can be dropped are
    assert torch.equal(block(x), x) is same
