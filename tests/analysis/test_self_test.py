import pytest
import torch

from hrvmamba.analysis import self_test as module
from hrvmamba.ops import deform_sample
from hrvmamba.ops.backend import NATIVE_DEVICES


def test_every_backend_that_is_here_passes():
    before = torch.random.get_rng_state()
    checks = module.self_test()
    expected = [("reference", "cpu")]
    expected += [("native", "cpu")] if "cpu" in NATIVE_DEVICES else []
    ops = ("deform_sample", "selective_scan_2d")
    on_cpu = [(check.backend, check.device, check.op) for check in checks if check.device == "cpu"]
    assert on_cpu == [(*place, op) for place in expected for op in ops]
    assert all(check.passed and 0 < check.error < 1e-5 for check in checks)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("wrong", ["values", "gradients", "nan"])
def test_what_deviates_fails(monkeypatch, wrong):
    def deviating(value, *arguments, **options):
        out = deform_sample(value, *arguments, **options)
        if value.dtype == torch.float64:  # what it is compared with
            return out
        if wrong == "gradients":
            return out + 1e-3 * (value - value.detach())
        return out * (float("nan") if wrong == "nan" else 1.001)

    monkeypatch.setattr(module, "deform_sample", deviating)
    passed = {check.op: check.passed for check in module.self_test()}
    assert passed == {"deform_sample": False, "selective_scan_2d": True}


def test_what_cannot_run_says_why(monkeypatch):
    def raising(value, *arguments, **options):
        if value.dtype == torch.float64:
            return deform_sample(value, *arguments, **options)
        raise RuntimeError("no kernel image is available\nsecond line")

    monkeypatch.setattr(module, "deform_sample", raising)
    check = module.self_test()[0]
    assert not check.passed and check.error is None
    assert check.failure == "RuntimeError: no kernel image is available"
