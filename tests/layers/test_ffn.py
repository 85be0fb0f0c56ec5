import torch
import torch.nn.functional as F

from hrvmamba.layers import FFN, ESInB


def test_is_two_linear_layers_and_a_gelu():
    ffn = FFN(4, 8, drop_rate=0.5).eval()
    x = torch.randn(2, 3, 3, 4)
    hidden = F.gelu(x @ ffn.fc1.weight.T + ffn.fc1.bias)
    torch.testing.assert_close(ffn(x), hidden @ ffn.fc2.weight.T + ffn.fc2.bias)


def test_esinb_between_the_layers():
    ffn = FFN(4, 8, esinb_kernel_sizes=(3, 5, 7, 9))
    esinb = ESInB(8)  # with its GELU at the end
    esinb.load_state_dict(ffn.act.state_dict())
    x = torch.randn(2, 6, 5, 4)
    hidden = esinb(x @ ffn.fc1.weight.T + ffn.fc1.bias)
    torch.testing.assert_close(ffn(x), hidden @ ffn.fc2.weight.T + ffn.fc2.bias)


def test_drops_out_hidden_and_output():
    ffn = FFN(64, 128, drop_rate=0.5)
    torch.nn.init.eye_(ffn.fc2.weight)
    torch.nn.init.zeros_(ffn.fc2.bias)
    out = ffn(torch.randn(100, 64))
    assert 0.65 < (out == 0).float().mean() < 0.85  # half of them after the GELU, half at the end
