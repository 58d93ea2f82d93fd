"""The sign-flip test against brute force, and its size under a clustered null."""

import numpy as np
import pytest
from scipy import stats

from mmrl.evaluation.statistics import sign_flip
from mmrl.evaluation.statistics.permutation import by_convolution, by_enumeration, by_sampling
from tests.evaluation.statistics.factories import brute_force


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


def clustered_null(generator, clusters=30, size=4):
    """Two models of equal accuracy whose advantage over each other differs by video: changes of -1, 0, 1 that cluster."""
    tilt = generator.normal(0, 0.8, clusters)[:, None]
    change = np.sign(generator.normal(tilt, 1, (clusters, size))) * (generator.random((clusters, size)) < 0.5)
    return change.ravel(), np.repeat(np.arange(clusters), size)


def sizes(worlds, **how):
    """How often the tests reject at 5 % where nothing differs: clusters flipped whole, and items flipped alone."""
    generator, whole, alone = np.random.default_rng(16), 0, 0
    for _ in range(worlds):
        change, clusters = clustered_null(generator, **how)
        whole += sign_flip(change, clusters) <= 0.05
        alone += sign_flip(change, range(len(change))) <= 0.05
    return whole / worlds, alone / worlds


def test_flipping_clusters_keeps_its_size_under_a_clustered_null_and_flipping_items_does_not():
    whole, alone = sizes(400, clusters=30, size=12)
    assert 0.02 <= whole <= 0.08  # 0.05 and 2.8 standard errors
    assert alone > 0.15


@pytest.mark.slow("2,000 worlds a case; the test above takes 400 of one")
@pytest.mark.parametrize(("clusters", "size"), [(8, 20), (30, 12), (120, 8), (300, 5)])
def test_the_size_of_both_tests_in_many_worlds(clusters, size):
    whole, alone = sizes(2000, clusters=clusters, size=size)
    assert 0.03 <= whole <= 0.065  # 0.05, less what is discrete, 3 standard errors of 0.005
    assert alone > 0.07


def test_three_ways_to_the_same_p():
    generator = np.random.default_rng(17)
    for count in (3, 9, 14):
        sums = generator.integers(-4, 5, count).astype(float)
        sums = sums[sums != 0]
        exact = by_enumeration(sums)
        assert by_convolution(sums) == pytest.approx(exact, abs=1e-12)
        assert by_sampling(sums, 9_999, seed=0) == pytest.approx(exact, abs=0.02)


def test_sampling_counts_the_observed_signs_and_is_decided_by_its_seed():
    sums = np.random.default_rng(18).normal(1, 0.1, 40)
    assert by_sampling(sums, 99, seed=0) == 1 / 100
    loose = np.random.default_rng(19).normal(0.2, 1, 40)
    assert by_sampling(loose, 999, seed=3) == by_sampling(loose, 999, seed=3) != by_sampling(loose, 999, seed=4)
    with pytest.raises(ValueError, match="at least one"):
        by_sampling(loose, 0, seed=0)


def test_scale_sign_and_order_do_not_matter():
    generator = np.random.default_rng(20)
    change, clusters = clustered_null(generator)
    expected = sign_flip(change, clusters)
    order = generator.permutation(len(change))
    assert sign_flip(-change, clusters) == expected
    assert sign_flip(change[order], clusters[order]) == expected
    assert sign_flip(change / 2, clusters) == pytest.approx(expected, abs=0.02)  # no whole numbers: sampled


def test_changes_that_cancel_up_to_rounding_are_no_change():
    thirds = [0.1, 0.2, -0.3]
    assert sign_flip(thirds * 2, list("aaabbb")) == 1.0


def test_many_items_are_exact_and_quick():
    generator = np.random.default_rng(21)
    change = generator.choice([-1, 0, 1], p=[0.09, 0.8, 0.11], size=5130)
    lost, gained = int((change < 0).sum()), int((change > 0).sum())
    theirs = stats.binomtest(lost, lost + gained).pvalue
    assert sign_flip(change, range(5130)) == pytest.approx(theirs, rel=1e-9)
