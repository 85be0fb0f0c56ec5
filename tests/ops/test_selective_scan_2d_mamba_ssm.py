import sys
import types

import pytest
import torch
import torch.nn.functional as F

from hrvmamba.ops import backend, selective_scan_2d


def selective_scan_ref(u, delta, A, B, C, D, delta_bias, delta_softplus):
    """What mamba-ssm documents its kernel to compute, one token at a time.

    u, delta: (B, D, L); A: (D, N); B, C: (B, G, N, L), one for D/G channels; D, delta_bias: (D).
    """
    assert all(x.is_contiguous() for x in (u, delta, B, C)) and delta_softplus
    dt = F.softplus(delta + delta_bias[:, None])
    B, C = (x.repeat_interleave(u.shape[1] // x.shape[1], 1) for x in (B, C))
    h, out = torch.zeros(*u.shape[:2], A.shape[1]), []
    for t in range(u.shape[2]):
        inflow = (dt * u)[..., t, None] * B[..., t]
        h = torch.exp(dt[..., t, None] * A) * h + inflow
        out.append((h * C[..., t]).sum(-1))
    return torch.stack(out, -1) + D[:, None] * u


@pytest.fixture
def mamba_ssm(monkeypatch):
    """A stand-in for the package, where it is not installed."""
    interface = types.ModuleType("mamba_ssm.ops.selective_scan_interface")
    interface.selective_scan_fn = selective_scan_ref
    package = types.ModuleType("mamba_ssm")
    package.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "mamba_ssm", package)
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops", types.ModuleType("mamba_ssm.ops"))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)


@pytest.mark.parametrize("d_state", [1, 3])
def test_equals_the_reference(mamba_ssm, d_state):
    arguments = (
        torch.randn(2, 3, 5, 6),
        torch.randn(2, 3, 5, 4, 2 + 2 * d_state),
        torch.randn(4, 6, 2),
        torch.randn(4, 6),
        torch.randn(4, 6, d_state),
        torch.randn(4, 6),
    )
    arguments = [argument.requires_grad_() for argument in arguments]
    results = []
    for name in ("mamba_ssm", "reference"):
        with backend(name):
            y = selective_scan_2d(*arguments)
        results.append((y, *torch.autograd.grad(y.square().sum(), arguments)))
    torch.testing.assert_close(*results, atol=1e-4, rtol=1e-4)


def test_says_what_is_missing():
    if "mamba_ssm" in sys.modules:
        pytest.skip("mamba-ssm is installed")
    with (
        pytest.raises(ImportError, match=r'needs mamba-ssm: pip install "hrvmamba\[mamba_ssm\]"'),
        backend("mamba_ssm"),
    ):
        pass
