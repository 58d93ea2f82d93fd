"""Claims about training methods: the runs are the data."""

import pytest
from scipy import stats

from mmrl.evaluation.statistics import seed_difference


def test_methods_are_paired_by_seed():
    before, after = {0: 0.40, 1: 0.50, 2: 0.45}, {2: 0.50, 0: 0.44, 1: 0.53}
    found = seed_difference(before, after)
    theirs = stats.ttest_rel([0.44, 0.53, 0.50], [0.40, 0.50, 0.45]).confidence_interval()
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert found.p_signflip == 0.25  # 2 / 2^3: three seeds cannot say more
    with pytest.raises(ValueError, match="same seeds"):
        seed_difference(before, {0: 0.4, 1: 0.5, 3: 0.5})
