"""Clustered errors against textbook formulas and numbers worked by hand."""

import math

import numpy as np
import pytest

from mmrl.evaluation.statistics import clustered_error, design_effect, iid_error, mean_interval
from tests.evaluation.statistics.factories import clustered_world


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
