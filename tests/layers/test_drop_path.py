import pytest
import torch

from hrvmamba.layers import DropPath


def test_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    out = DropPath(0.25)(torch.ones(20_000, 2, 2))
    per_sample = out.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    assert sorted(out.unique().tolist()) == [0, pytest.approx(4 / 3)]
    assert out.mean() == pytest.approx(1, abs=0.02)


def test_keeps_all_in_evaluation():
    x = torch.randn(4, 3)
    assert DropPath(0.5).eval()(x) is x


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_refuses_rates(rate):
    with pytest.raises(ValueError, match=rf"rate must be in \[0, 1\), got {rate}"):
        DropPath(rate)
