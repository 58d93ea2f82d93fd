"""McNemar's test against the binomial by hand, brute force, statsmodels and the sign-flip test."""

import math

import numpy as np
import pytest

from mmrl.evaluation.statistics import mcnemar, sign_flip


def discordant(lost, gained, same=7):
    """0/1 scores with this many items lost and gained."""
    before = [1] * lost + [0] * gained + [1] * same
    return before, [0] * lost + [1] * gained + [1] * same


def test_a_table_worked_by_hand():
    # 1 lost, 5 gained of 6: P(X <= 1) = (1 + 6) / 64; two-sided 14 / 64; P(X = 1 or 5) = 12 / 64, half of it off
    found = mcnemar(*discordant(1, 5))
    assert (found.only_before, found.only_after) == (1, 5)
    assert found.p_exact == pytest.approx(14 / 64)
    assert found.p_mid == pytest.approx(8 / 64)


def test_a_tie_is_no_evidence():
    # 2 lost, 2 gained: everything is as extreme, P(X = 2) = 6 / 16, half of it off
    assert mcnemar(*discordant(2, 2)).p_exact == 1
    assert mcnemar(*discordant(2, 2)).p_mid == pytest.approx(1 - 3 / 16)


def test_no_discordant_item_is_no_evidence():
    assert (mcnemar([1, 0], [1, 0]).p_exact, mcnemar([1, 0], [1, 0]).p_mid) == (1.0, 1.0)


@pytest.mark.parametrize(("lost", "gained"), [(0, 3), (4, 9), (10, 10), (37, 61), (0, 1)])
def test_both_p_values_by_their_definition(lost, gained):
    n = lost + gained
    chance = [math.comb(n, k) / 2**n for k in range(n + 1)]
    far = [abs(2 * k - n) for k in range(n + 1)]
    more = sum(p for p, d in zip(chance, far, strict=True) if d > abs(lost - gained))
    equal = sum(p for p, d in zip(chance, far, strict=True) if d == abs(lost - gained))
    found = mcnemar(*discordant(lost, gained))
    assert found.p_exact == pytest.approx(more + equal, rel=1e-10)
    assert found.p_mid == pytest.approx(more + equal / 2, rel=1e-10)


@pytest.mark.parametrize(("lost", "gained"), [(4, 9), (37, 61), (3, 0), (100, 140)])
def test_exact_agrees_with_statsmodels(lost, gained):
    table = pytest.importorskip("statsmodels.stats.contingency_tables")
    theirs = table.mcnemar([[7, lost], [gained, 0]], exact=True)
    assert mcnemar(*discordant(lost, gained)).p_exact == pytest.approx(theirs.pvalue, rel=1e-10)


@pytest.mark.parametrize(("lost", "gained"), [(4, 9), (37, 61), (0, 40), (5, 5), (1, 0)])
def test_sign_flips_of_single_items_are_the_exact_test(lost, gained):
    before, after = discordant(lost, gained)
    change = np.subtract(after, before)
    assert sign_flip(change, range(len(change))) == pytest.approx(mcnemar(before, after).p_exact, rel=1e-10)


def test_scores_between_right_and_wrong_are_refused():
    with pytest.raises(ValueError, match="0 and 1"):
        mcnemar([0.5], [1])
    with pytest.raises(ValueError, match="same items twice"):
        mcnemar([1, 0], [1])
