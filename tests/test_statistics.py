"""Laws of the statistics: closed forms, brute force, and how often the intervals cover the truth."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from mmrl.statistics import (
    bootstrap_interval,
    clustered_error,
    design_effect,
    iid_error,
    mean_interval,
    minimum_detectable_effect,
    paired,
    sign_flip,
    wilson,
)


def clustered_world(generator, clusters=40, size=5, rate=0.6, spread=0.25):
    """0/1 scores whose rate differs by cluster."""
    rates = np.clip(generator.normal(rate, spread, clusters), 0, 1)
    right = generator.random((clusters, size)) < rates[:, None]
    return right.astype(float).ravel(), np.repeat(np.arange(clusters), size)


def test_singleton_clusters_give_the_textbook_standard_error():
    scores = np.random.default_rng(0).normal(size=50)
    assert iid_error(scores) == pytest.approx(scores.std(ddof=1) / math.sqrt(50), rel=1e-12)
    assert clustered_error(scores, range(50)) == iid_error(scores)


def test_clustered_error_of_a_number_worked_by_hand():
    # mean 1/2; residual sums per cluster: a: 1/2 + 1/2 = 1, b: -1/2 - 1/2 = -1, c: 1/2 - 1/2 = 0
    # SE^2 = (1 + 1 + 0) / 36 * 3 / 2 = 1 / 12
    assert clustered_error([1, 1, 0, 0, 1, 0], list("aabbcc")) == pytest.approx(math.sqrt(1 / 12))


def test_copies_of_an_item_do_not_make_the_mean_surer():
    scores = np.random.default_rng(1).random(30)
    copied, clusters = np.repeat(scores, 4), np.repeat(np.arange(30), 4)
    assert clustered_error(copied, clusters) == pytest.approx(iid_error(scores))
    # four copies: variance of the mean is 4 times what 120 independent items have, up to the two small-sample factors
    assert design_effect(copied, clusters) == pytest.approx(4 * (119 / 120) * (30 / 29))


def test_order_and_names_of_clusters_do_not_matter():
    scores, clusters = clustered_world(np.random.default_rng(2))
    order = np.random.default_rng(3).permutation(len(scores))
    shuffled = clustered_error(scores[order], [f"video {c}" for c in clusters[order]])
    assert shuffled == pytest.approx(clustered_error(scores, clusters))


def test_one_cluster_says_nothing_of_the_spread():
    assert clustered_error([0.0, 1.0], ["v", "v"]) == math.inf
    assert mean_interval([0.0, 3.0], ["v", "v"]) == (-math.inf, math.inf)
    low, high = mean_interval([1.0, 1.0], ["v", "v"])
    assert low < 0.25
    assert high == 1.0


def test_design_effect_is_one_where_nothing_varies():
    assert design_effect([1.0] * 6, [0, 0, 1, 1, 2, 2]) == 1.0
    assert design_effect([1.0], [0]) == 1.0


@pytest.mark.parametrize(("right", "n"), [(0, 10), (3, 10), (10, 10), (412, 923)])
def test_wilson_agrees_with_scipy(right, n):
    theirs = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right / n, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_bootstrap_of_singletons_approaches_the_normal_interval():
    scores = np.random.default_rng(4).random(400)
    low, high = bootstrap_interval(scores, range(400))
    half = 1.96 * iid_error(scores)
    assert (low, high) == pytest.approx((scores.mean() - half, scores.mean() + half), abs=0.15 * half)


def test_bootstrap_weighs_clusters_by_their_size():
    # Two clusters: 1 item right, 3 items wrong. Draws aa, ab, bb have means 1, 1/4, 0, probabilities 1/4, 1/2, 1/4.
    assert bootstrap_interval([1, 0, 0, 0], list("abbb")) == (0.0, 1.0)
    assert bootstrap_interval([1, 0, 0, 0], list("abbb"), confidence=0.4) == (0.25, 0.25)


def test_the_seed_decides_the_interval_and_chunks_do_not_hide_it(monkeypatch):
    scores, clusters = clustered_world(np.random.default_rng(5))
    assert bootstrap_interval(scores, clusters, seed=7) == bootstrap_interval(scores, clusters, seed=7)
    whole = bootstrap_interval(scores, clusters, seed=7)
    monkeypatch.setattr("mmrl.statistics.CHUNK", 1000)
    assert bootstrap_interval(scores, clusters, seed=7) == whole


def test_global_random_state_is_left_alone():
    np.random.seed(0)
    expected = np.random.get_state()[1].copy()
    scores, clusters = clustered_world(np.random.default_rng(6))
    paired(scores, 1 - scores, clusters)
    mean_interval(scores, clusters)
    assert (np.random.get_state()[1] == expected).all()


def test_clustered_intervals_cover_the_truth_and_independent_ones_do_not():
    """300 worlds, nominal 95 %: binomial noise is 1.3 points, so 91 % to 98 % passes; without clusters far fewer."""
    generator = np.random.default_rng(8)
    covered = alone = 0
    for _ in range(300):
        effects = generator.normal(0, 1, 40)[:, None]
        scores = (effects + generator.normal(0, 0.5, (40, 5))).ravel()
        clusters = np.repeat(np.arange(40), 5)
        low, high = bootstrap_interval(scores, clusters, resamples=500, seed=1)
        covered += low <= 0 <= high
        alone += abs(scores.mean()) <= 1.96 * iid_error(scores)
    assert 0.91 <= covered / 300 <= 0.98
    assert alone / 300 < 0.75


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


def brute_force(sums):
    signs = itertools.product([1, -1], repeat=len(sums))
    flips = [abs(np.dot(sign, sums)) for sign in signs]
    return sum(f >= abs(sum(sums)) - 1e-9 for f in flips) / len(flips)


def test_sign_flip_is_exact_for_few_clusters():
    change, clusters = [1.0, 0.5, 2.0, -0.5, 0.25, 1.0, 0.0], list("aabbcde")
    assert sign_flip(change, clusters) == pytest.approx(brute_force([1.5, 1.5, 0.25, 1.0]))


def test_sign_flip_of_all_positive_changes_worked_by_hand():
    assert sign_flip([1.0] * 5, range(5)) == pytest.approx(2 / 2**5)


def test_sign_flip_of_many_clusters_never_claims_zero():
    assert 0 < sign_flip([1.0] * 100, range(100)) <= 0.001


def test_sign_flip_keeps_its_level():
    generator = np.random.default_rng(14)
    rejected = sum(sign_flip(generator.normal(size=9), range(9)) <= 0.05 for _ in range(300))
    assert rejected / 300 <= 0.08  # 0.05 plus 2.4 standard errors


@pytest.mark.parametrize(("n", "points"), [(300, 7.2), (600, 5.1), (1200, 3.6), (2400, 2.6)])
def test_minimum_detectable_effect_of_the_facts_sheet(n, points):
    assert 100 * minimum_detectable_effect(0.2, n) == pytest.approx(points, abs=0.05)


def test_minimum_detectable_effect_is_detected_four_times_in_five():
    generator, n = np.random.default_rng(15), 600
    effect = minimum_detectable_effect(0.2, n)
    signs = generator.choice([1, 0, -1], p=[0.1 + effect / 2, 0.8, 0.1 - effect / 2], size=(400, n))
    z = signs.mean(1) / (signs.std(1, ddof=1) / math.sqrt(n))
    assert (np.abs(z) > 1.96).mean() == pytest.approx(0.8, abs=0.05)


def test_a_constant_score_that_is_no_share_has_no_width_to_bootstrap():
    assert mean_interval([7.0, 7.0], ["a", "b"]) == (7.0, 7.0)
    assert mean_interval([1.0] * 10, range(10)) == wilson(1.0, 10)


def test_what_is_no_score_is_an_error():
    with pytest.raises(ValueError, match="one score and one cluster"):
        clustered_error([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="score 1 is nan"):
        clustered_error([1.0, math.nan], ["a", "b"])
    with pytest.raises(ValueError, match="same items twice"):
        paired([1.0], [1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="share"):
        wilson(1.2, 10)
    with pytest.raises(ValueError, match="share"):
        minimum_detectable_effect(2, 10)
