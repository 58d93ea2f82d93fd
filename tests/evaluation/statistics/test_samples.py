"""Several samples an item: by enumeration of all draws, closed forms, limits."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from mmrl.evaluation.statistics import guess_at_k, majority_at_k, pass_at_k, pass_hat_k


def draws(n, right, k):
    """All draws of k from n samples of which the first `right` are right."""
    return list(itertools.combinations([1] * right + [0] * (n - right), k))


@pytest.mark.parametrize(("n", "k"), [(1, 1), (4, 2), (6, 3), (7, 7), (8, 1)])
def test_pass_any_and_all_by_enumeration(n, k):
    for right in range(n + 1):
        all_draws = draws(n, right, k)
        assert pass_at_k(n, right, k) == pytest.approx(np.mean([max(d) for d in all_draws]), abs=1e-12)
        assert pass_hat_k(n, right, k) == pytest.approx(np.mean([min(d) for d in all_draws]), abs=1e-12)


def test_large_numbers_agree_with_exact_fractions():
    for n, right, k in ((10_000, 1, 100), (10_000, 3, 5000), (100_000, 50_000, 20), (2000, 1999, 2)):
        none = Fraction(math.comb(n - right, k), math.comb(n, k))
        assert pass_at_k(n, right, k) == pytest.approx(float(1 - none), rel=1e-10)
        every = Fraction(math.comb(right, k), math.comb(n, k))
        assert pass_hat_k(n, right, k) == pytest.approx(float(every), rel=1e-10)


def test_one_sample_is_the_mean_and_all_and_any_are_complements():
    for right in range(9):
        assert pass_at_k(8, right, 1) == pytest.approx(right / 8)
        assert pass_hat_k(8, right, 1) == pytest.approx(right / 8)
        assert pass_at_k(8, right, 3) == pytest.approx(1 - pass_hat_k(8, 8 - right, 3))


def test_pass_at_k_is_unbiased_where_the_plug_in_is_not():
    generator, rate, n, k = np.random.default_rng(0), 0.2, 8, 4
    counts = generator.binomial(n, rate, 20_000)
    truth = 1 - (1 - rate) ** k
    unbiased = np.mean([pass_at_k(n, int(c), k) for c in counts])
    assert unbiased == pytest.approx(truth, abs=0.007)  # three standard errors
    assert np.mean(1 - (1 - counts / n) ** k) < truth - 0.02


def majority(answers, gold):
    """One vote with uniformly broken ties."""
    votes = Counter(answer for answer in answers if answer is not None)
    most = max(votes.values(), default=0)
    winners = [answer for answer, count in votes.items() if count == most]
    return (gold in winners) / max(1, len(winners))


@pytest.mark.parametrize("answers", ["AABBC", "ABCD", "AAAB", "BBBB", "A--B-", "-----", "AABBCCD-", "BCAADDA-"])
def test_majority_by_enumeration(answers):
    said = [None if answer == "-" else answer for answer in answers]
    for k in range(1, len(said) + 1):
        expected = np.mean([majority(draw, "A") for draw in itertools.combinations(said, k)])
        assert majority_at_k(said, "A", k) == pytest.approx(expected, abs=1e-12)


def test_ties_are_shared_and_silence_never_wins():
    assert majority_at_k(["A", "B"], "A", 2) == 0.5
    assert majority_at_k([None, None, "A"], "A", 3) == 1.0
    assert majority_at_k([None, None, None], "A", 3) == 0.0
    assert majority_at_k([None, "A"], "A", 1) == 0.5


def test_the_majority_of_many_samples_with_many_answers_takes_no_time():
    said = [f"{i % 40}" for i in range(64)]
    assert 0 < majority_at_k(said, "3", 32) < 0.2


def test_names_of_answers_do_not_matter():
    assert majority_at_k("AABBC", "A", 3) == majority_at_k("XXYYZ", "X", 3) == majority_at_k("CBABA", "B", 3)


def test_a_guesser_on_four_options():
    assert guess_at_k(4, 8) == pytest.approx(1 - 0.75**8)
    assert guess_at_k(4, 1) == 0.25


@pytest.mark.parametrize("function", [pass_at_k, pass_hat_k])
def test_more_draws_than_samples_are_refused(function):
    with pytest.raises(ValueError, match="sample more"):
        function(4, 2, 5)
    with pytest.raises(ValueError, match="k between"):
        function(4, 2, 0)
    with pytest.raises(ValueError, match="right samples"):
        function(4, 5, 2)


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match="sample more"):
        majority_at_k("AB", "A", 3)
    with pytest.raises(ValueError, match="gold"):
        majority_at_k("AB", None, 1)
    with pytest.raises(ValueError, match="option"):
        guess_at_k(0, 3)
