import pytest
import torch

from hrvmamba.layers import DSS2D, SS2D, DepthwiseConv, DVSSBlock


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


@pytest.mark.parametrize("dilations", [None, (3,), (1, 3, 5)], ids=str)
@pytest.mark.parametrize("esinb", ["ffn", "none"])
def test_without_esinb_as_a_block(esinb, dilations):
    """The first LPU, which feeds ESInB alone, goes with it."""
    block, x = block_and_input(use_lpu=True, esinb=esinb, dilations=dilations)
    assert type(block.dss2d) is (DSS2D if dilations is None else SS2D)
    convs = {name for name, module in block.named_modules() if isinstance(module, DepthwiseConv)}
    in_ffn = {f"ffn.act.convs.{group}" for group in range(4)} if esinb == "ffn" else set()
    in_ss2d = {f"dss2d.sampling.{group}" for group in range(len(dilations or ()))}
    assert convs == {"lpu2"} | in_ffn | in_ss2d
    y = x + block.dss2d(block.dss2d_norm(x))
    y = block.lpu2(y)
    torch.testing.assert_close(block(x), y + block.ffn(block.ffn_norm(y)))


@pytest.mark.parametrize("esinb", ["block", "ffn"])
def test_kernels_of_esinb(esinb):
    block, _ = block_and_input(esinb=esinb, esinb_kernel_sizes=(3, 3, 3, 3))
    convs = (block.esinb or block.ffn.act).convs
    assert [conv.kernel_size for conv in convs] == [(3, 3)] * 4


@pytest.mark.parametrize(("esinb_drop_path", "kept"), [(True, False), (False, True)])
def test_drop_path_of_esinb_is_an_option(esinb_drop_path, kept):
    block, x = block_and_input(drop_path_rate=0.999, esinb_drop_path=esinb_drop_path)
    torch.manual_seed(0)  # at this rate all paths that can be dropped are
    out = block.train()(x)
    expected = x + block.esinb(block.esinb_norm(x)) if kept else x
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize(
    "options",
    [
        dict(use_offset_conv=True),
        dict(dilations=(1, 3, 5)),
        dict(esinb="ffn"),
        dict(esinb="none"),
        dict(esinb_kernel_sizes=(3, 3, 3, 3)),
    ],
    ids=str,
)
def test_every_parameter_gets_a_gradient(options):
    block, x = block_and_input(use_lpu=True, use_se=True, **options)
    block(x).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in block.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(esinb="head"), "esinb must be one of block, ffn, none, got 'head'"),
        (dict(use_offset_conv=True, dilations=(1,)), "use_offset_conv must be False"),
        (dict(dilations=(0,)), "dilations must hold"),
        (dict(esinb_kernel_sizes=(2, 4)), "kernel_sizes must hold odd"),
    ],
)
def test_refuses_options(options, message):
    with pytest.raises(ValueError, match=message):
        DVSSBlock(16, **options)
