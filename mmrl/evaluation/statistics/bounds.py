"""Bounds of a mean if some items have no score: all of those are taken as wrong, then all as right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmrl.evaluation.statistics.clusters import Clusters, Values, finite
from mmrl.evaluation.statistics.comparison import paired
from mmrl.evaluation.statistics.intervals import mean_interval

Open = Sequence[float | None]  # in [0, 1]; None: not scored


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a mean of which some scores are missing (Manski 1989)."""

    least: float  # if every unscored item had 0
    most: float  # if every one had 1
    low: float  # lower limit of the interval of `least`
    high: float  # upper limit of the interval of `most`
    unscored: int


def bounded_mean(scores: Open, clusters: Clusters) -> Bounds:
    """Return bounds of the mean over all items. If every item is scored, least = most and the interval is `mean_interval`'s."""
    worst, best = filled(scores, 0.0), filled(scores, 1.0)
    low, high = mean_interval(worst, clusters)[0], mean_interval(best, clusters)[1]
    unscored = sum(score is None for score in scores)
    return Bounds(float(worst.mean()), float(best.mean()), low, high, unscored)


def bounded_difference(before: Open, after: Open, clusters: Clusters) -> Bounds:
    """Return bounds of the mean of after - before over the same items; unscored counts items that lack either score.

    least gives unscored items 0 after and 1 before, most the other way round: a conclusion that holds for both does not
    depend on the unscored items.
    """
    against = paired(filled(before, 1.0), filled(after, 0.0), clusters)
    inclined = paired(filled(before, 0.0), filled(after, 1.0), clusters)
    unscored = sum(one is None or two is None for one, two in zip(before, after, strict=True))
    return Bounds(against.mean, inclined.mean, against.low, inclined.high, unscored)


def filled(scores: Open, value: float) -> Values:
    """Return scores with this value for unscored items (None, not NaN). Raises ValueError for a score outside [0, 1]."""
    values = finite([value if score is None else score for score in scores])
    outside = np.flatnonzero((values < 0) | (values > 1))
    if len(outside):
        raise ValueError(f"score {outside[0]} is {values[outside[0]]}: expected one in [0, 1], or None")
    return values
