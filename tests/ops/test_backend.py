import sys
import warnings

import pytest
import torch

from hrvmamba.ops import backend, deform_sample

# The package's attribute of that name is the function.
backend_module = sys.modules["hrvmamba.ops.backend"]


def sample() -> torch.Tensor:
    return deform_sample(torch.ones(1, 2, 2, 4), torch.ones(1, 2, 2, 27), 1)


def calls_native() -> bool:
    with torch.profiler.profile() as profile:
        sample()
    return any(event.key.startswith("hrvmamba::") for event in profile.key_averages())


@pytest.mark.usefixtures("native")
def test_chooses_what_runs():
    assert calls_native()
    with backend("reference"):
        assert not calls_native()
        with backend("native"):
            assert calls_native()
        assert not calls_native()
    assert calls_native()


def test_refuses_other_names():
    with (
        pytest.raises(ValueError, match="one of native, reference, mamba_ssm, got 'triton'"),
        backend("triton"),
    ):
        pass


def test_without_kernels_the_reference_runs_and_says_so_once(monkeypatch):
    expected = sample()
    monkeypatch.setattr(backend_module, "NATIVE_DEVICES", ())
    monkeypatch.setattr(backend_module, "MISSING_KERNELS", {"cpu": "not built"})
    monkeypatch.setattr(backend_module._Choice, "warned", False)
    with pytest.warns(UserWarning, match="no native ops for cpu: not built. To build them: pip"):
        out = sample()
    torch.testing.assert_close(out, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample()
        with backend("reference"):
            sample()
