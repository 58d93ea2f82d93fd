"""Accuracy without what guessing gives."""

from collections.abc import Sequence

from mmrl.evaluation.statistics.clusters import finite


def guess_rate(options: Sequence[int]) -> float:
    """Return accuracy of a uniform guesser: mean of 1/K over items with K options each. Raises ValueError for K < 2."""
    counts = finite(options)
    if (counts < 2).any():
        raise ValueError(f"guess_rate: expected at least 2 options an item, found {int(counts.min())}")
    return float((1 / counts).mean())


def chance_corrected(accuracy: float, guess: float) -> float:
    """Return (accuracy - g) / (1 - g): 0 for a guesser, 1 for all right, below 0 for worse than guessing.

    Linear, so limits of an interval are corrected by the same call; makes benchmarks with different K comparable.
    """
    if not 0 <= accuracy <= 1 or not 0 <= guess < 1:
        raise ValueError(f"chance_corrected: expected shares, the guesser's below 1, found {accuracy} and {guess}")
    return (accuracy - guess) / (1 - guess)
