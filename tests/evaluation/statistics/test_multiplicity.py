"""Holm's adjustment: by hand, by brute force over closed tests, against statsmodels, and the error rate it keeps."""

import itertools
import math

import numpy as np
import pytest

from mmrl.evaluation.statistics import adjust, compare, holm


def test_three_p_values_worked_by_hand():
    # ascending .01 .03 .04 times 3 2 1: .03 .06 .04, and none below the one before it: .03 .06 .06
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_holm_is_the_closed_test_with_bonferroni():
    p = np.random.default_rng(0).random(5) ** 3
    for index, adjusted in enumerate(holm(p)):
        subsets = (s for r in range(1, 6) for s in itertools.combinations(range(5), r) if index in s)
        assert adjusted == pytest.approx(max(min(1, len(s) * min(p[list(s)])) for s in subsets))


def test_holm_agrees_with_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(1).random(40) ** 4
    assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1].tolist(), rel=1e-12)


def test_false_claims_in_a_table_stay_below_the_level():
    generator = np.random.default_rng(2)
    raw, kept = (np.array([min(f(row)) for row in generator.random((2000, 8))]) for f in (list, holm))
    assert (raw <= 0.05).mean() > 0.3  # 1 - 0.95^8 = 0.34
    assert (kept <= 0.05).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_what_is_no_probability_is_refused():
    for wrong in ([1.2], [-0.1], [math.nan], []):
        with pytest.raises(ValueError):
            holm(wrong)


def test_a_table_is_adjusted_and_exploratory_rows_claim_nothing():
    generator = np.random.default_rng(3)
    before = generator.integers(0, 2, 60)
    table = {name: compare(before, generator.random(60) < rate, range(60)) for name, rate in (("L1", 0.9), ("L2", 0.8))}
    table["looked"] = compare(before, before, range(60))
    found = adjust(table, exploratory=["looked"])
    p = [table["L1"].difference.p_signflip, table["L2"].difference.p_signflip]
    assert [found["L1"].p_holm, found["L2"].p_holm] == holm(p)
    assert found["looked"].p_holm is None
    assert found["L1"].difference == table["L1"].difference
    with pytest.raises(ValueError, match="L4"):
        adjust(table, exploratory=["L4"])
