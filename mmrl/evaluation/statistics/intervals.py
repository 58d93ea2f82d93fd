"""Intervals of a mean whose unit is the cluster: bootstrap, Wilson, Student."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from mmrl.evaluation.statistics.clusters import (
    ROUNDING,
    Clusters,
    cluster_sums,
    clustered_error,
    draws,
    finite,
    is_share,
    probability,
)


def wilson(mean: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share (Wilson 1927). n may be an effective, fractional number of items: n / design effect."""
    if not 0 <= mean <= 1 or not 0 < n < math.inf:
        raise ValueError(f"wilson: expected a share in [0, 1] of a positive number of items, found {mean} of {n}")
    probability("wilson: confidence", confidence)
    z2 = float(stats.norm.isf((1 - confidence) / 2)) ** 2
    centre = (mean + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (mean * (1 - mean) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return (0.0 if mean == 0 else low), (1.0 if mean == 1 else high)


def bootstrap_interval(
    scores: ArrayLike, clusters: Clusters, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentiles of the mean over clusters drawn with replacement (Efron and Tibshirani 1993).

    Clusters with the same sum and size are exchangeable, so one multinomial draw over the distinct ones is the
    resample; the order of items and the names of clusters have no effect. It undercovers with fewer than about 20
    clusters (`paired` and `half_width` use Student's t for that reason). With a single cluster the interval has no width.
    """
    probability("bootstrap_interval: confidence", confidence)
    distinct, times = np.unique(np.column_stack(cluster_sums(scores, clusters)), axis=0, return_counts=True)
    means = [(drawn @ distinct[:, 0]) / (drawn @ distinct[:, 1]) for drawn in draws(times, resamples, seed)]
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def mean_interval(
    scores: ArrayLike, clusters: Clusters, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the interval of the mean by the cluster bootstrap.

    If all resamples are equal, shares get Wilson's interval with one trial a cluster. A single cluster of scores
    that are no shares gives (-inf, inf).
    """
    values = finite(scores)
    sums, counts = cluster_sums(values, clusters)
    if len(sums) > 1 and np.ptp(sums / counts) > ROUNDING:
        return bootstrap_interval(values, clusters, confidence, seed=seed)
    if is_share(values):
        return wilson(float(values.mean()), len(sums), confidence)
    return (float(values[0]), float(values[0])) if len(sums) > 1 else (-math.inf, math.inf)


def half_width(scores: ArrayLike, clusters: Clusters, confidence: float) -> float:
    """Return half of the t interval of the mean, t_{C-1} * clustered error; inf for a single cluster."""
    probability("half_width: confidence", confidence)
    freedom = len(set(clusters)) - 1
    error = clustered_error(scores, clusters)
    return error if freedom == 0 else float(stats.t.isf((1 - confidence) / 2, freedom)) * error
