"""Comparisons of two measurements: laws, other routes to the same numbers, coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from mmrl.evaluation.statistics import (
    adjust,
    clustered_error,
    compare,
    design_effect,
    detectable,
    iid_error,
    mcnemar,
    paired,
    wilson,
)
from tests.evaluation.statistics.factories import clustered_world


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


def test_three_training_runs_cannot_say_more_than_a_quarter():
    assert paired([0.40, 0.50, 0.45], [0.44, 0.53, 0.50], range(3)).p_signflip == 0.25  # 2 / 2^3


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


def two_models(generator, clusters=40, size=3):
    """0/1 scores of two models that find the same videos hard."""
    hardness = generator.random((clusters, 1))
    first, second = (generator.random((clusters, size)) < np.clip(hardness + gain, 0, 1) for gain in (0, 0.1))
    return first.astype(float).ravel(), second.astype(float).ravel(), np.repeat(np.arange(clusters), size)


def test_a_comparison_holds_what_its_parts_say():
    before, after, clusters = two_models(np.random.default_rng(14))
    found, change = compare(before, after, clusters), after - before
    assert found.difference == paired(before, after, clusters)
    assert found.error == clustered_error(change, clusters)
    assert found.design_effect == design_effect(change, clusters)
    assert found.mde == detectable(change, clusters)
    assert found.discordant == ((change < 0).sum(), (change > 0).sum())
    assert found.correlation == pytest.approx(np.corrcoef(before, after)[0, 1])
    assert found.mcnemar is None  # its p-value would be too small where items share a video
    assert found.p_holm is None


def test_single_items_get_mcnemars_test_and_it_agrees_with_the_flips():
    before, after, _ = two_models(np.random.default_rng(15))
    found = compare(before, after, range(len(before)))
    assert found.mcnemar == mcnemar(before, after)
    assert found.difference.p_signflip == pytest.approx(found.mcnemar.p_exact)


def test_scores_between_right_and_wrong_have_no_counts():
    found = compare([0.5, 1, 0, 0.2], [0.5, 0.8, 0, 1], range(4))
    assert (found.discordant, found.mcnemar) == (None, None)


def test_a_single_cluster_is_compared_without_a_claim():
    found = compare([0, 0, 1], [1, 1, 1], ["v"] * 3)
    assert (found.difference.low, found.difference.high, found.difference.p_signflip) == (-1, 1, 1)
    assert (found.error, found.design_effect, found.mde) == (math.inf, math.inf, math.inf)
    assert found.correlation is None


def test_a_comparison_worked_by_hand():
    # six of eight gained: deviation .4629, error .1637, t_7 = 2.365: 75 +- 38.7 points, no more than 100.
    # p = 2 / 2^6; detectable (2.365 + .896) * sqrt(6) / 8
    found = adjust({"L1": compare([0] * 8, [1] * 6 + [0] * 2, range(8))})["L1"]
    change = found.difference
    assert (change.mean, change.low, change.high) == (0.75, pytest.approx(0.363, abs=5e-4), 1.0)
    assert (change.p_signflip, found.p_holm, found.mde) == pytest.approx((2 / 2**6, 2 / 2**6, 0.998), abs=5e-4)
    assert (found.discordant, change.n, change.clusters) == ((0, 6), 8, 8)
    assert compare([0.5, 0], [0, 1], range(2)).p_holm is None


@pytest.mark.slow("many worlds; test_paired_interval_covers_the_truth takes some")
@pytest.mark.parametrize("clusters", [5, 12, 60])
def test_intervals_of_changes_of_right_and_wrong_cover_the_truth(clusters):
    generator, covered = np.random.default_rng(17), 0
    for _ in range(1000):
        tilt = generator.beta(2, 2, (clusters, 1))
        before, after = ((generator.random((clusters, 4)) < tilt).astype(float).ravel() for _ in range(2))
        found = paired(before, after, np.repeat(np.arange(clusters), 4))
        covered += found.low <= 0 <= found.high
    assert 0.93 <= covered / 1000 <= 0.985
