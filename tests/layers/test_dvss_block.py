import pytest
import torch

from hrvmamba.layers import DVSSBlock


def block_and_input(**options):
    block = DVSSBlock(16, **options)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return block, torch.randn(2, 6, 5, 16)


@pytest.mark.parametrize("use_lpu", [False, True])
def test_order_of_the_parts(use_lpu):
    block, x = block_and_input(use_lpu=use_lpu, use_se=use_lpu)
    first = block.lpu1(x) if use_lpu else x  # feeds ESInB alone
    y = x + block.esinb(block.esinb_norm(first))
    y = y + block.dss2d(block.dss2d_norm(y))
    y = block.lpu2(y) if use_lpu else y
    torch.testing.assert_close(block(x), y + block.ffn(block.ffn_norm(y)))


@pytest.mark.parametrize(("esinb_drop_path", "kept"), [(True, False), (False, True)])
def test_drop_path_of_esinb_is_an_option(esinb_drop_path, kept):
    block, x = block_and_input(drop_path_rate=0.999, esinb_drop_path=esinb_drop_path)
    torch.manual_seed(0)  # at this rate all paths that can be dropped are
    out = block.train()(x)
    expected = x + block.esinb(block.esinb_norm(x)) if kept else x
    torch.testing.assert_close(out, expected)


def test_every_parameter_gets_a_gradient():
    block, x = block_and_input(use_lpu=True, use_se=True, use_offset_conv=True)
    block(x).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in block.parameters())
