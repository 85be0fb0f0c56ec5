import numpy as np
import pytest

from hrvmamba.export.agreement import FLOAT, HALF, Agreement, Tolerance


def test_differences_are_shares_of_the_standard_deviation():
    expected = np.random.default_rng(0).normal(scale=5, size=(2, 3, 8, 6))
    shifted = expected + 0.05
    agreement = Agreement.of(shifted, expected)
    share = 0.05 / expected.std()
    assert agreement.largest == pytest.approx(0.05)
    assert agreement.relative == pytest.approx(share) and agreement.rms == pytest.approx(share)
    assert agreement.same_maxima == 1
    assert agreement.within(HALF) and not agreement.within(FLOAT)
    assert Agreement.of(expected, expected).within(FLOAT)


def test_maxima_elsewhere_are_counted():
    expected = np.zeros((1, 4, 5, 5))
    expected[:, :, 2, 2] = 1
    moved = expected.copy()
    moved[0, 1, 3, 2] = 1.01
    agreement = Agreement.of(moved, expected)
    assert agreement.same_maxima == 0.75
    assert not agreement.within(Tolerance(relative=100, rms=100, same_maxima=0.8))


def test_what_is_not_finite_is_never_good_enough():
    expected = np.random.default_rng(0).normal(size=(1, 1, 4, 4))
    for bad in (np.nan, np.inf):
        heatmaps = expected.copy()
        heatmaps[0, 0, 0, 0] = bad
        assert not Agreement.of(heatmaps, expected).within(HALF)
