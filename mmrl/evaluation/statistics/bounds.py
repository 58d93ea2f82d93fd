"""Bounds of a mean where some items have no score: as if all of those were wrong, as if all were right."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmrl.evaluation.statistics.clusters import Clusters, Values, finite
from mmrl.evaluation.statistics.comparison import paired
from mmrl.evaluation.statistics.intervals import mean_interval

Open = Sequence[float | None]  # None: not scored


@dataclass(frozen=True, slots=True)
class Bounds:
    """A mean that is known up to what was not scored (Manski 1989)."""

    least: float  # if every unscored item had the lowest score
    most: float  # if every one had the highest
    low: float  # lower limit of the interval of `least`
    high: float  # upper limit of the interval of `most`
    unscored: int
    n: int


def bounded_mean(
    scores: Open,
    clusters: Clusters,
    lowest: float = 0.0,
    highest: float = 1.0,
    confidence: float = 0.95,
    seed: int = 0,
) -> Bounds:
    """Return bounds of the mean over all items. With every item scored least = most and the interval is `mean_interval`'s."""
    worst, best = filled(scores, lowest, lowest, highest), filled(scores, highest, lowest, highest)
    low, high = mean_interval(worst, clusters, confidence, seed)[0], mean_interval(best, clusters, confidence, seed)[1]
    return Bounds(float(worst.mean()), float(best.mean()), low, high, unscored(scores), len(worst))


def bounded_difference(
    before: Open,
    after: Open,
    clusters: Clusters,
    lowest: float = 0.0,
    highest: float = 1.0,
    confidence: float = 0.95,
    seed: int = 0,
) -> Bounds:
    """Return bounds of the mean of after - before over the same items; unscored counts items that lack either score.

    least gives what is unscored the lowest score after and the highest before, most the other way round: a claim that
    survives both does not hang on what was not scored.
    """
    if len(before) != len(after):
        raise ValueError(f"expected the same items twice, found {len(before)} before and {len(after)} after")
    ends = (lowest, highest)
    against = paired(filled(before, highest, *ends), filled(after, lowest, *ends), clusters, confidence, seed)
    inclined = paired(filled(before, lowest, *ends), filled(after, highest, *ends), clusters, confidence, seed)
    open_items = sum(one is None or two is None for one, two in zip(before, after, strict=True))
    return Bounds(against.mean, inclined.mean, against.low, inclined.high, open_items, len(before))


def filled(scores: Open, value: float, lowest: float, highest: float) -> Values:
    """Return scores with this value for what is not scored; NaN is no way to say so, and scores must lie in the range."""
    if not math.isfinite(lowest) or not math.isfinite(highest) or lowest >= highest:
        raise ValueError(f"expected a finite range of scores, found [{lowest}, {highest}]")
    values = finite([value if score is None else score for score in scores])
    outside = np.flatnonzero((values < lowest) | (values > highest))
    if len(outside):
        raise ValueError(f"score {outside[0]} is {values[outside[0]]}: expected one in [{lowest}, {highest}], or None")
    return values


def unscored(scores: Open) -> int:
    """Return how many items have no score."""
    return sum(score is None for score in scores)
