"""Claims about training methods: the runs are the data."""

import math

import numpy as np
import pytest
from scipy import stats

from mmrl.evaluation.statistics import seed_difference, seed_interval, welch_difference


def test_three_seeds_worked_by_hand():
    # mean 0.5, deviation 0.1; t_{2, .975} = 4.302653
    found = seed_interval([0.4, 0.5, 0.6])
    assert (found.mean, found.deviation, found.seeds) == (pytest.approx(0.5), pytest.approx(0.1), 3)
    assert found.high - 0.5 == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)


def test_one_seed_says_nothing_of_another():
    found = seed_interval([0.4])
    assert (found.low, found.high, found.deviation) == (-math.inf, math.inf, math.inf)


def test_methods_are_paired_by_seed():
    before, after = {0: 0.40, 1: 0.50, 2: 0.45}, {2: 0.50, 0: 0.44, 1: 0.53}
    found = seed_difference(before, after)
    theirs = stats.ttest_rel([0.44, 0.53, 0.50], [0.40, 0.50, 0.45]).confidence_interval()
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert found.p_signflip == 0.25  # 2 / 2^3: three seeds cannot say more
    with pytest.raises(ValueError, match="same seeds"):
        seed_difference(before, {0: 0.4, 1: 0.5, 3: 0.5})


def test_runs_without_common_seeds_agree_with_welch():
    before, after = [0.40, 0.50, 0.45, 0.47], [0.55, 0.60, 0.49]
    mean, low, high = welch_difference(before, after)
    theirs = stats.ttest_ind(after, before, equal_var=False).confidence_interval()
    assert (low, high) == pytest.approx((theirs.low, theirs.high))
    assert low < mean < high
    with pytest.raises(ValueError, match="two runs"):
        welch_difference([0.4], after)
    assert welch_difference([0.4, 0.4], [0.5, 0.5]) == pytest.approx((0.1, 0.1, 0.1))


def test_items_do_not_make_up_for_seeds():
    """Methods whose true means differ by seed: intervals over items of one run miss the truth, over seeds they do not."""
    generator = np.random.default_rng(0)
    seeds = generator.normal(0.5, 0.03, (400, 5))  # accuracy of five runs each
    covered = [found.low <= 0.5 <= found.high for found in map(seed_interval, seeds)]
    assert 0.92 <= np.mean(covered) <= 0.98
    assert np.mean(np.abs(seeds[:, 0] - 0.5) <= 1.96 * math.sqrt(0.25 / 2432)) < 0.65
