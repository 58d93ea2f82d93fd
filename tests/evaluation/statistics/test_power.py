"""Minimum detectable effects: the facts sheet, closed forms, and the power they promise."""

import math

import numpy as np
import pytest
from scipy import stats

from mmrl.evaluation.statistics import detectable, minimum_detectable_effect, sign_flip, wilson


@pytest.mark.parametrize(("n", "points"), [(300, 7.2), (600, 5.1), (1200, 3.6), (2400, 2.6)])
def test_minimum_detectable_effect_of_the_facts_sheet(n, points):
    assert 100 * minimum_detectable_effect(0.2, n) == pytest.approx(points, abs=0.05)


def test_minimum_detectable_effect_is_detected_four_times_in_five():
    generator, n = np.random.default_rng(15), 600
    effect = minimum_detectable_effect(0.2, n)
    signs = generator.choice([1, 0, -1], p=[0.1 + effect / 2, 0.8, 0.1 - effect / 2], size=(400, n))
    z = signs.mean(1) / (signs.std(1, ddof=1) / math.sqrt(n))
    assert (np.abs(z) > 1.96).mean() == pytest.approx(0.8, abs=0.05)


def test_single_items_need_no_clusters():
    generator = np.random.default_rng(16)
    change = generator.choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=1200)
    closed = minimum_detectable_effect(np.abs(change).mean(), 1200)
    assert detectable(change, range(1200)) == pytest.approx(closed, rel=0.003)  # t_1199 for z


def test_copies_of_an_item_detect_no_more():
    change = np.random.default_rng(17).choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=200)
    copied = detectable(np.repeat(change, 5), np.repeat(np.arange(200), 5))
    assert copied == pytest.approx(detectable(change, range(200)))


def test_four_times_the_clusters_detect_half():
    change, clusters = [1.0, 0, -1, 0] * 100, np.repeat(np.arange(200), 2)
    more = detectable(change * 4, np.repeat(np.arange(800), 2))
    assert more == pytest.approx(detectable(change, clusters) / 2, rel=0.01)


def test_few_clusters_detect_nothing():
    assert detectable([1.0, -1, 1, 0, 1], range(5)) == math.inf  # the smallest p is 2 / 2^5
    assert detectable([1.0, -1, 1, 0, 1, 1], range(6)) < 2
    assert detectable([1.0, 1], ["v", "v"]) == math.inf


def test_where_nothing_changed_the_doubt_is_wilsons():
    t = stats.t.isf(0.025, 99) + stats.t.isf(0.2, 99)
    assert detectable([0.0] * 100, range(100)) == pytest.approx(t * math.sqrt(wilson(0, 100)[1] / 100))


def power_at(effect, worlds, clusters, size, seed):
    """How often `sign_flip` at 5 % sees this effect in clustered noise."""
    generator, seen = np.random.default_rng(seed), 0
    labels = np.repeat(np.arange(clusters), size)
    for _ in range(worlds):
        noise = generator.normal(0, 0.3, (clusters, 1)) + generator.normal(0, 1, (clusters, size))
        seen += sign_flip((noise + effect).ravel(), labels, resamples=499) <= 0.05
    return seen / worlds


@pytest.mark.parametrize(
    ("clusters", "size", "worlds"),
    [(24, 5, 300), pytest.param(100, 4, 1500, marks=pytest.mark.slow("more worlds than the other case"))],
)
def test_the_detectable_effect_is_detected_four_times_in_five(clusters, size, worlds):
    cluster_means = np.resize([1.0, -1.0], clusters) * math.sqrt(0.3**2 + 1 / size)  # as spread as the noise below
    effect = detectable(np.repeat(cluster_means, size), np.repeat(np.arange(clusters), size))
    assert power_at(effect, worlds, clusters, size, seed=18) == pytest.approx(0.8, abs=3 * 0.4 / math.sqrt(worlds))


def test_impossible_plans_are_refused():
    for wrong in ({"power": 1.0}, {"level": 0.0}, {"power": -1}):
        with pytest.raises(ValueError, match="between 0 and 1"):
            detectable([1.0, 0.0], [0, 1], **wrong)
        with pytest.raises(ValueError, match="between 0 and 1"):
            minimum_detectable_effect(0.2, 100, **wrong)
