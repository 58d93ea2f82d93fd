"""Intervals of a mean: closed forms, and how often they cover the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from mmrl.evaluation.statistics import (
    bootstrap_interval,
    clustered_error,
    iid_error,
    mean_interval,
    paired,
    wilson,
)
from tests.evaluation.statistics.factories import clustered_world


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
    monkeypatch.setattr("mmrl.evaluation.statistics.clusters.CHUNK", 1000)
    assert bootstrap_interval(scores, clusters, seed=7) == whole


def test_global_random_state_is_left_alone():
    np.random.seed(0)
    expected = np.random.get_state()[1].copy()
    scores, clusters = clustered_world(np.random.default_rng(6))
    paired(scores, 1 - scores, clusters)
    mean_interval(scores, clusters)
    assert (np.random.get_state()[1] == expected).all()


def test_clustered_intervals_cover_the_truth_and_independent_ones_do_not():
    """200 worlds, nominal 95 %: binomial noise is 1.5 points, so 90 % to 99 % passes; without clusters far fewer."""
    generator = np.random.default_rng(8)
    covered = alone = 0
    for _ in range(200):
        effects = generator.normal(0, 1, 40)[:, None]
        scores = (effects + generator.normal(0, 0.5, (40, 5))).ravel()
        clusters = np.repeat(np.arange(40), 5)
        low, high = bootstrap_interval(scores, clusters, resamples=500, seed=1)
        covered += low <= 0 <= high
        alone += abs(scores.mean()) <= 1.96 * iid_error(scores)
    assert 0.9 <= covered / 200 <= 0.99
    assert alone / 200 < 0.75


def test_a_constant_score_that_is_no_share_has_no_width_to_bootstrap():
    assert mean_interval([7.0, 7.0], ["a", "b"]) == (7.0, 7.0)
    assert mean_interval([1.0] * 10, range(10)) == wilson(1.0, 10)


def test_the_bootstrap_has_the_variance_of_its_clusters():
    """Of C clusters drawn C times: standard deviation sqrt((C - 1) / C) clustered errors, clusters of one size."""
    scores, clusters = clustered_world(np.random.default_rng(8))
    low, high = bootstrap_interval(scores, clusters, confidence=0.6827)  # one deviation to each side
    assert (high - low) / 2 == pytest.approx(clustered_error(scores, clusters) * math.sqrt(39 / 40), rel=0.08)


def test_order_of_items_and_names_of_clusters_do_not_change_the_bootstrap():
    scores, clusters = clustered_world(np.random.default_rng(9))
    order = np.random.default_rng(10).permutation(len(scores))
    assert bootstrap_interval(scores[order], [f"v{c}" for c in clusters[order]]) == bootstrap_interval(scores, clusters)


@pytest.mark.slow("many worlds; test_clustered_intervals_cover_the_truth takes some")
@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_the_interval_of_clustered_shares_covers_the_truth(rate):
    generator, boot = np.random.default_rng(12), 0
    for _ in range(1000):
        rates = generator.beta(6 * rate, 6 * (1 - rate), (60, 1))  # of mean `rate`
        scores, clusters = (generator.random((60, 4)) < rates).astype(float).ravel(), np.repeat(range(60), 4)
        low, high = bootstrap_interval(scores, clusters, resamples=1000)
        boot += low <= rate <= high
    assert 0.92 <= boot / 1000 <= 0.97
