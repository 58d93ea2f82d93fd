"""Calibration: numbers worked by hand, scikit-learn, laws, and what chance alone gives."""

import math

import numpy as np
import pytest

from mmrl.evaluation.statistics import (
    brier,
    calibration_error,
    calibration_interval,
    option_probabilities,
    perfect_error,
    risk_coverage_area,
    selective_risk,
)


def calibrated(n, seed=0):
    generator = np.random.default_rng(seed)
    p = generator.uniform(0.25, 1, n)
    return p, (generator.random(n) < p).astype(float)


def test_softmax_of_logits_and_of_log_probabilities():
    logits = np.array([[1.0, 2.0, 3.0], [1000.0, 1000.0, -1000.0]])
    p = option_probabilities(logits)
    assert p[0] == pytest.approx(np.exp(logits[0]) / np.exp(logits[0]).sum())
    assert p[1] == pytest.approx([0.5, 0.5, 0])
    assert option_probabilities(np.log([[0.1, 0.3]])) == pytest.approx(np.array([[0.25, 0.75]]))


def test_brier_worked_by_hand():
    # (.7 - 1)^2 + .2^2 + .1^2 = .14; gold third: .7^2 + .2^2 + .9^2 = 1.34; a uniform guess of four: 1 - 1/4
    assert brier([[0.7, 0.2, 0.1]] * 2, [0, 2]) == pytest.approx([0.14, 1.34])
    assert brier([[0.25] * 4], [3]) == pytest.approx([0.75])
    assert brier([[1.0, 0.0]] * 2, [0, 1]) == pytest.approx([0, 2])


def test_brier_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    p, right = calibrated(500)
    ours = brier(np.column_stack([1 - p, p]), right.astype(int)).mean() / 2  # theirs counts one of two options
    assert ours == pytest.approx(metrics.brier_score_loss(right, p), rel=1e-10)


def test_brier_is_proper_saying_what_one_believes_is_best():
    truth = 0.7
    expected = [
        truth * brier([[q, 1 - q]], [0])[0] + (1 - truth) * brier([[q, 1 - q]], [1])[0] for q in (0.6, 0.7, 0.8)
    ]
    assert min(expected) == expected[1]


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


def test_risk_at_each_coverage_worked_by_hand():
    # most sure first: right, wrong, right, wrong
    assert selective_risk([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0]) == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4])
    assert risk_coverage_area([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0]) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_a_confidence_that_says_nothing_has_the_error_rate_as_area():
    assert selective_risk([0.5] * 4, [1, 0, 0, 1]) == pytest.approx([0.5] * 4)
    p, right = calibrated(2000)
    assert risk_coverage_area(p, right) < 1 - right.mean() < risk_coverage_area(1 - p, right)


@pytest.mark.parametrize(
    "call",
    [
        lambda: option_probabilities([[math.inf, 0]]),
        lambda: option_probabilities([1, 2]),
        lambda: brier([[0.5, 0.6]], [0]),
        lambda: brier([[0.5, 0.5]], [2]),
        lambda: brier([[0.5, 0.5]], [0.0]),
        lambda: brier([[0.5, 0.5]], [0, 1]),
        lambda: brier([[math.nan, 0.5]], [0]),
        lambda: calibration_error([1.5], [1]),
        lambda: calibration_error([0.5], [0.5]),
        lambda: calibration_error([0.5, 0.5], [1]),
        lambda: calibration_error([math.nan], [1]),
        lambda: calibration_error([0.5], [1], bins=0),
        lambda: calibration_interval([0.5, 0.5], [1, 0], ["v"]),
        lambda: selective_risk([], []),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(ValueError):
        call()
