"""Unscored items widen what is known, and never leave the denominator."""

import math

import pytest

from mmrl.evaluation.statistics import bounded_difference, bounded_mean, mean_interval, paired

SCORED = [1, 0, 1, 1, 0, 1, 0, 1]
CLUSTERS = list("aabbccdd")


def test_with_all_scored_the_bounds_are_the_interval():
    found = bounded_mean(SCORED, CLUSTERS)
    assert (found.least, found.most, found.unscored) == (0.625, 0.625, 0)
    assert (found.low, found.high) == mean_interval(SCORED, CLUSTERS)


def test_unscored_items_widen_both_ends_worked_by_hand():
    found = bounded_mean([1, None, 1, 1, 0, None, 0, 1], CLUSTERS)
    assert (found.least, found.most, found.unscored) == (4 / 8, 6 / 8, 2)
    assert found.low == mean_interval([1, 0, 1, 1, 0, 0, 0, 1], CLUSTERS)[0]
    assert found.high == mean_interval([1, 1, 1, 1, 0, 1, 0, 1], CLUSTERS)[1]


def test_nothing_scored_is_nothing_known():
    found = bounded_mean([None] * 6, range(6))
    assert (found.least, found.most, found.low, found.high) == (0, 1, 0, 1)


def test_a_difference_is_bounded_from_both_sides():
    before, after = [0, 0, None, 1], [1, None, 1, 1]
    found = bounded_difference(before, after, range(4))
    assert found.least == paired([0, 0, 1, 1], [1, 0, 1, 1], range(4)).mean == 0.25
    assert found.most == paired([0, 0, 0, 1], [1, 1, 1, 1], range(4)).mean == 0.75
    assert found.unscored == 2
    assert found.low <= found.least
    assert found.most <= found.high


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="bounds"):
        bounded_mean([math.nan, 1], "ab")
    with pytest.raises(ValueError, match=r"score 1 is 2\.0"):
        bounded_mean([0, 2], "ab")
    with pytest.raises(ValueError, match="same items twice"):
        bounded_difference([0], [0, 1], "ab")
