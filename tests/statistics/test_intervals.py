"""Intervals of a mean: closed forms, and how often they cover the truth."""

import numpy as np
import pytest
from scipy import stats

from mmrl.statistics import bootstrap_interval, iid_error, mean_interval, paired, wilson
from tests.statistics.made import clustered_world


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
    monkeypatch.setattr("mmrl.statistics.clusters.CHUNK", 1000)
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


def test_a_constant_score_that_is_no_share_has_no_width_to_bootstrap():
    assert mean_interval([7.0, 7.0], ["a", "b"]) == (7.0, 7.0)
    assert mean_interval([1.0] * 10, range(10)) == wilson(1.0, 10)
