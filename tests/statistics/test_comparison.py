"""Comparisons of two measurements: laws, other routes to the same numbers, coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from mmrl.statistics import iid_error, paired, wilson
from tests.statistics.made import clustered_world


def test_paired_interval_covers_the_truth_with_few_clusters():
    generator = np.random.default_rng(9)
    covered = 0
    for _ in range(300):
        change = (generator.normal(0.3, 1, 6)[:, None] + generator.normal(0, 0.5, (6, 3))).ravel()
        result = paired(np.zeros(18), change, np.repeat(np.arange(6), 3))
        covered += result.low <= 0.3 <= result.high
    assert 0.91 <= covered / 300 <= 0.985


def test_paired_is_the_t_test_where_clusters_are_items():
    generator = np.random.default_rng(10)
    before, after = generator.normal(size=20), generator.normal(0.5, size=20)
    result, theirs = paired(before, after, range(20)), stats.ttest_rel(after, before).confidence_interval()
    assert (result.low, result.high) == pytest.approx((theirs.low, theirs.high))
    assert result.mean == pytest.approx(result.after - result.before)
    assert (result.n, result.clusters) == (20, 20)


def test_pairing_is_surer_than_two_separate_samples():
    generator = np.random.default_rng(11)
    hardness = generator.random(200)
    before = (generator.random(200) < hardness).astype(float)
    after = np.where(generator.random(200) < 0.9, before, 1.0)  # the same answers, a few more right
    result = paired(before, after, range(200))
    apart = 1.96 * math.hypot(iid_error(before), iid_error(after))
    assert result.high - result.mean < apart


def test_swapping_before_and_after_turns_the_sign():
    scores, clusters = clustered_world(np.random.default_rng(12))
    other = clustered_world(np.random.default_rng(13))[0]
    there, back = paired(scores, other, clusters), paired(other, scores, clusters)
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert there.p_signflip == pytest.approx(back.p_signflip, abs=0.02)


def test_no_difference_seen_is_not_no_doubt():
    result = paired([0.0] * 20, [0.0] * 20, range(20))
    assert (result.mean, result.p_signflip) == (0.0, 1.0)
    assert result.high == pytest.approx(wilson(0, 20)[1])
    assert result.low == -result.high
    all_gained = paired([0.0] * 20, [1.0] * 20, range(20))
    assert all_gained.high == 1.0
    assert 0.8 < all_gained.low < 1.0
    single = paired([0.0, 1.0], [1.0, 1.0], ["v", "v"])
    assert (single.low, single.high) == (-1.0, 1.0)
