"""Calibration: numbers worked by hand, laws, and what chance alone gives."""

import math

import numpy as np
import pytest

from mmrl.evaluation.statistics import calibration_error, calibration_interval, perfect_error


def calibrated(n, seed=0):
    generator = np.random.default_rng(seed)
    p = generator.uniform(0.25, 1, n)
    return p, (generator.random(n) < p).astype(float)


def test_calibration_error_worked_by_hand():
    # two bins of two: confidence .5 .7 (mean .6), right 1 of 2: gap .1; .8 .9 (mean .85), right 2 of 2: gap .15
    assert calibration_error([0.9, 0.5, 0.7, 0.8], [1, 1, 0, 1], bins=2) == pytest.approx(0.125)


def test_one_bin_compares_the_means_and_equal_confidences_share_a_bin():
    p, right = calibrated(101)
    assert calibration_error(p, right, bins=1) == pytest.approx(abs(p.mean() - right.mean()))
    assert calibration_error([0.5] * 10, [1, 0] * 5) == 0
    order = np.random.default_rng(1).permutation(101)
    rounded = np.round(p, 1)
    assert calibration_error(rounded[order], right[order]) == pytest.approx(calibration_error(rounded, right))


def test_a_perfect_model_has_an_error_above_zero_and_its_floor_says_so():
    p, right = calibrated(300)
    mean, limit = perfect_error(p, resamples=400)
    assert 0.05 < mean < limit < 0.2
    errors = [calibration_error(*calibrated(300, seed)) for seed in range(200)]
    assert np.mean(errors) == pytest.approx(mean, abs=0.01)
    assert calibration_error(np.clip(p + 0.2, 0, 1), right) > limit


def test_the_interval_holds_a_large_error_and_counts_clusters():
    generator = np.random.default_rng(2)
    p = np.full(400, 0.9)
    right = (generator.random(400) < 0.6).astype(float)
    low, high = calibration_interval(p, right, range(400))
    assert low < calibration_error(p, right) < high
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.24 / 400), rel=0.15)
    copied = calibration_interval(np.repeat(p, 4), np.repeat(right, 4), np.repeat(np.arange(400), 4))
    assert copied == pytest.approx((low, high))


@pytest.mark.parametrize(
    "call",
    [
        lambda: calibration_error([1.5], [1]),
        lambda: calibration_error([0.5], [0.5]),
        lambda: calibration_error([0.5, 0.5], [1]),
        lambda: calibration_error([math.nan], [1]),
        lambda: calibration_error([0.5], [1], bins=0),
        lambda: calibration_interval([0.5, 0.5], [1, 0], ["v"]),
        lambda: calibration_error([], []),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(ValueError):
        call()
