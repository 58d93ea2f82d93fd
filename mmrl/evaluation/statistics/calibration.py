"""Calibration: a model should be right as often as its confidence says.

confidence is the probability of the chosen answer, right is 1 or 0; both are one number an item. The order of items has no
effect, also with equal confidences.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmrl.evaluation.statistics.clusters import (
    Clusters,
    Values,
    chunks,
    draws,
    finite,
    is_binary,
    is_share,
    numbered,
)


def calibration_error(confidence: ArrayLike, right: ArrayLike, bins: int = 15) -> float:
    """Return the expected calibration error: sum_b n_b / n |accuracy_b - confidence_b| over bins of equal mass, in [0, 1].

    Naeini et al. 2015, with the equal-mass bins of Nguyen and O'Connor (2015): an item with m items of less confidence
    is in bin floor(m bins / n), so equal confidences share a bin. It is never below 0 and so above 0 by chance alone:
    `perfect_error` says by how much.
    """
    p, y = said_and_right(confidence, right)
    return float(binned_error(p, y[None], bins)[0])


def perfect_error(confidence: ArrayLike, bins: int = 15, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return the mean and the 95th percentile of the calibration error of a perfectly calibrated model with these confidences.

    Draws right ~ Bernoulli(confidence) (consistency resampling, Bröcker and Smith 2007). An error below the percentile
    is no sign of miscalibration. Items count as independent.
    """
    p = finite(confidence)
    said_and_right(p, np.zeros_like(p))
    generator = np.random.default_rng(seed)
    drawn = [binned_error(p, generator.random((rows, len(p))) < p, bins) for rows in chunks(resamples, len(p))]
    errors = np.concatenate(drawn)
    return float(errors.mean()), float(np.quantile(errors, 0.95))


def calibration_interval(
    confidence: ArrayLike, right: ArrayLike, clusters: Clusters, bins: int = 15, seed: int = 0
) -> tuple[float, float]:
    """Return 95 % percentiles of the calibration error over clusters drawn with replacement, in the bins of the data.

    The error is an absolute value: near 0 its resamples lie above it, so the lower limit never reaches 0. Compare with
    `perfect_error` instead of asking whether the interval holds 0. With a single cluster the interval has no width.
    """
    p, y = said_and_right(confidence, right)
    index = numbered(clusters)
    if len(index) != len(p):
        raise ValueError(f"expected one cluster an item, found {len(index)} clusters and {len(p)} items")
    size = np.bincount(index)
    gap = np.zeros((len(size), bins))  # sum of right - confidence, by cluster and bin
    np.add.at(gap, (index, bin_of(p, bins)), y - p)
    errors = [np.abs(drawn @ gap).sum(1) / (drawn @ size) for drawn in draws(np.ones_like(size), 1000, seed)]
    low, high = np.quantile(np.concatenate(errors), [(1 - 0.95) / 2, (1 + 0.95) / 2])
    return float(low), float(high)


def binned_error(p: Values, y: NDArray, bins: int) -> Values:
    """Return the calibration error of each row of y, [rows, items]."""
    index = bin_of(p, bins)
    return np.abs((y - p) @ np.eye(bins)[index]).sum(1) / len(p)


def bin_of(p: Values, bins: int) -> NDArray[np.intp]:
    """Return the bin of every item: floor(m bins / n) for m items with less confidence."""
    if bins < 1:
        raise ValueError(f"expected at least one bin, found {bins}")
    return np.searchsorted(np.sort(p), p, side="left") * bins // len(p)


def said_and_right(confidence: ArrayLike, right: ArrayLike) -> tuple[Values, Values]:
    """Return both as float64. Raises ValueError unless they are equally long, probabilities, and 0 or 1."""
    p, y = finite(confidence), finite(right)
    if len(p) != len(y):
        raise ValueError(f"expected a confidence and a 0 or 1 for every item, found {len(p)} and {len(y)}")
    if not is_share(p) or not is_binary(y):
        raise ValueError("expected confidences in [0, 1] and a 0 or 1 for every item")
    return p, y
