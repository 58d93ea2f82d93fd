"""Rates over several samples of an item, and the accuracy of guessing."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from mmrl.evaluation.statistics.clusters import finite

# Each function of k takes counts of n samples of an item and returns the average result of k of them, drawn without
# replacement, over all C(n, k) draws. Average over items with `mean_interval`, the item's video as its cluster.


def pass_at_k(n: int, right: int, k: int) -> float:
    """Return the chance that at least one of k samples is right: 1 - C(n-c, k) / C(n, k)   (Chen et al. 2021, eq. 1).

    Computed as -expm1(sum_{i=n-c+1..n} log(1 - k/i)): no binomial overflows, and small chances keep their digits.
    """
    check_counts("pass_at_k", n, right, k)
    if n - right < k:
        return 1.0
    return float(-np.expm1(np.log1p(-k / np.arange(n - right + 1, n + 1)).sum()))


def pass_hat_k(n: int, right: int, k: int) -> float:
    """Return the chance that all of k samples are right, pass^k: C(c, k) / C(n, k)   (Yao et al. 2024, arXiv 2406.12045)."""
    check_counts("pass_hat_k", n, right, k)
    return float(np.prod((right - np.arange(k)) / (n - np.arange(k)))) if right >= k else 0.0


def guess_at_k(options: int, k: int) -> float:
    """Return pass@k of a uniform guesser, 1 - (1 - 1/K)^k, for printing beside pass@k of multiple choice."""
    if options < 1 or k < 1:
        raise ValueError(f"guess_at_k: expected at least one option and one sample, found {options} and {k}")
    return 1 - (1 - 1 / options) ** k


def majority_at_k(answers: Sequence[Hashable | None], gold: Hashable, k: int) -> float:
    """Return the chance that the majority of k samples is right, maj@k; ties are broken uniformly. Exact, over all C(n, k) draws.

    answers: the answer of each of the n samples; None without an answer. None never wins, but counts among the
    k: a draw of None only is wrong. With k = n this is 1 / (number of winners) if gold is one of them, else 0.
    """
    if gold is None:
        raise ValueError("majority_at_k: expected a gold answer, found None")
    check_counts("majority_at_k", len(answers), 0, k)
    votes = Counter(answers)
    abstained, own = votes.pop(None, 0), votes.pop(gold, 0)
    won = sum(
        math.comb(own, most) * ways / (tied + 1)
        for most in range(1, min(own, k) + 1)
        for tied, ways in enumerate(rivals(list(votes.values()), abstained, most, k - most))
    )
    return won / math.comb(len(answers), k)


def rivals(votes: Sequence[int], abstained: int, most: int, others: int) -> list[int]:
    """Return the ways to draw `others` votes, at most `most` for each answer, by the number of answers with exactly `most`.

    Dynamic programme over the answers: ways[tied][drawn].
    """
    ways = [[math.comb(abstained, drawn) for drawn in range(others + 1)]] + [[0] * (others + 1) for _ in votes]
    for count in votes:
        new = [[0] * (others + 1) for _ in ways]
        for tied, row in enumerate(ways):
            for drawn, known in enumerate(row):
                for more in range(min(count, most, others - drawn) + 1) if known else ():
                    new[tied + (more == most)][drawn + more] += known * math.comb(count, more)
        ways = new
    return [row[others] for row in ways]


def check_counts(name: str, n: int, right: int, k: int) -> None:
    """Raise ValueError unless 1 <= k <= n and 0 <= right <= n."""
    if not 1 <= k <= n:
        raise ValueError(f"{name}: expected k between 1 and the {n} samples, found {k}; sample more or ask for less")
    if not 0 <= right <= n:
        raise ValueError(f"{name}: expected between 0 and {n} right samples, found {right}")


def guess_rate(options: Sequence[int]) -> float:
    """Return the accuracy of a uniform guesser: the mean of 1/K over items with K options each. Raises ValueError for K < 2."""
    counts = finite(options)
    if (counts < 2).any():
        raise ValueError(f"guess_rate: expected at least 2 options an item, found {int(counts.min())}")
    return float((1 / counts).mean())


def chance_corrected(accuracy: float, guess: float) -> float:
    """Return (accuracy - g) / (1 - g): 0 for a guesser, 1 for all right, below 0 for worse than guessing.

    It is linear, so the same call corrects the limits of an interval. It makes benchmarks with different K comparable.
    """
    if not 0 <= accuracy <= 1 or not 0 <= guess < 1:
        raise ValueError(f"chance_corrected: expected shares, the guesser's below 1, found {accuracy} and {guess}")
    return (accuracy - guess) / (1 - guess)
