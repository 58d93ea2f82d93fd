"""How sure a mean is when items share a video: clustered errors, intervals, paired differences.

``scores`` are one number an item, ``clusters`` one label an item; items of one cluster are not independent (they show
the same video or are counterfactuals of one another), clusters are. Formulas after Miller (2024, arXiv 2411.00640) and
standard texts. Nothing here keeps state: what is random takes a seed.
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CHUNK = 2_000_000  # numbers drawn at once, to bound memory
ROUNDING = 1e-12  # an error below this is a zero with rounding on it

Clusters = Sequence[Hashable] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed between two measurements of the same items."""

    before: float  # mean score
    after: float
    mean: float  # after minus before
    low: float  # limits of the interval of the mean difference
    high: float
    p_signflip: float  # two-sided, flipping whole clusters
    n: int  # pairs
    clusters: int


def iid_error(scores: ArrayLike) -> float:
    """Standard error of the mean if every item were independent; inf for one item.

    SE^2 = sum_i (s_i - mean)^2 / (n (n - 1))
    """
    return clustered_error(scores, range(len(np.asarray(scores))))


def clustered_error(scores: ArrayLike, clusters: Clusters) -> float:
    """Standard error of the mean with independent clusters; inf for a single cluster.

    SE^2 = n^-2 sum_c (sum_{i in c} (s_i - mean))^2 * C / (C - 1)   (Miller 2024, eq. 4, with the small-sample factor)
    """
    sums, counts = cluster_sums(scores, clusters)
    if len(sums) == 1:
        return math.inf
    mean = sums.sum() / counts.sum()
    squares = np.square(sums - counts * mean).sum()
    return float(np.sqrt(squares * len(sums) / (len(sums) - 1)) / counts.sum())


def design_effect(scores: ArrayLike, clusters: Clusters) -> float:
    """How many times larger the variance of the mean is than with independent items; 1 where nothing varies."""
    alone = iid_error(scores)
    return 1.0 if alone == 0 or math.isinf(alone) else (clustered_error(scores, clusters) / alone) ** 2


def wilson(mean: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share (Wilson 1927). n may be an effective, fractional number of items: n / design effect."""
    if not 0 <= mean <= 1 or n <= 0:
        raise ValueError(f"wilson: expected a share in [0, 1] of a positive number of items, found {mean} of {n}")
    z2 = stats.norm.isf((1 - confidence) / 2) ** 2
    centre = (mean + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (mean * (1 - mean) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return (0.0 if mean == 0 else low), (1.0 if mean == 1 else high)


def bootstrap_interval(
    scores: ArrayLike, clusters: Clusters, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentiles of the mean over clusters drawn with replacement (Efron and Tibshirani 1993)."""
    sums, counts = cluster_sums(scores, clusters)
    generator = np.random.default_rng(seed)
    shares = np.full(len(sums), 1 / len(sums))
    means = []
    for rows in chunks(resamples, len(sums)):
        drawn = generator.multinomial(len(sums), shares, size=rows)
        means.append((drawn @ sums) / (drawn @ counts))
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def mean_interval(
    scores: ArrayLike, clusters: Clusters, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean by the cluster bootstrap.

    Where resampling has nothing to vary, shares get Wilson's interval with one trial a cluster. A single cluster of
    scores that are no shares says nothing of the spread: (-inf, inf).
    """
    values = np.asarray(scores, dtype=np.float64)
    sums, counts = cluster_sums(values, clusters)
    if len(sums) > 1 and np.ptp(sums / counts) > ROUNDING:
        return bootstrap_interval(values, clusters, confidence, seed=seed)
    if is_share(values):
        return wilson(float(values.mean()), len(sums), confidence)
    return (float(values[0]), float(values[0])) if len(sums) > 1 else (-math.inf, math.inf)


def paired(
    before: ArrayLike, after: ArrayLike, clusters: Clusters, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """The mean of after - before over the same items: mean +- t_{C-1} * clustered error, p by sign flips of clusters.

    Where all clusters differ by the same amount the error is 0 but the doubt is not: shares then get the half width
    that Wilson gives to none of C. A single cluster says nothing: all that is possible is in its interval.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"paired: expected the same items twice, found {first.shape} before and {second.shape} after")
    change = second - first
    mean, number = float(change.mean()), len(set(clusters))
    half, limit = half_width(change, clusters, confidence), math.inf
    if is_share(first) and is_share(second):
        limit = 1.0
        half = half if half > ROUNDING else wilson(0.0, number, confidence)[1]
    return Difference(
        before=float(first.mean()),
        after=float(second.mean()),
        mean=mean,
        low=max(-limit, mean - half),
        high=min(limit, mean + half),
        p_signflip=sign_flip(change, clusters, seed=seed),
        n=len(change),
        clusters=number,
    )


def half_width(scores: ArrayLike, clusters: Clusters, confidence: float) -> float:
    """Half of the t interval of the mean; inf for a single cluster."""
    freedom = len(set(clusters)) - 1
    error = clustered_error(scores, clusters)
    return error if freedom == 0 else float(stats.t.isf((1 - confidence) / 2, freedom)) * error


def sign_flip(change: ArrayLike, clusters: Clusters, resamples: int = 9_999, seed: int = 0) -> float:
    """Two-sided p-value of "the mean change is 0" by flipping the signs of whole clusters (Fisher 1935).

    Exact over all 2^C flips where those are fewer than the resamples; otherwise (1 + as extreme) / (1 + resamples).
    """
    sums = cluster_sums(change, clusters)[0]
    sums = sums[sums != 0]  # flipping them changes nothing
    if len(sums) < 2:
        return 1.0
    batch = max(1, CHUNK // len(sums))
    generator = np.random.default_rng(seed)
    test = stats.permutation_test(
        (sums,), np.sum, permutation_type="samples", vectorized=True, n_resamples=resamples, batch=batch, rng=generator
    )
    return float(test.pvalue)


def minimum_detectable_effect(discordant: float, n: float, power: float = 0.8, level: float = 0.05) -> float:
    """The smallest paired difference of shares that n items show with this power.

    (z_{1 - level/2} + z_power) * sqrt(discordant / n), where discordant is the share of items on which the two
    measurements disagree. Divide n by the design effect where items cluster.
    """
    if not 0 <= discordant <= 1 or n <= 0:
        raise ValueError(f"minimum_detectable_effect: expected a share of n > 0, found {discordant} of {n}")
    return float((stats.norm.isf(level / 2) + stats.norm.isf(1 - power)) * math.sqrt(discordant / n))


def cluster_sums(scores: ArrayLike, clusters: Clusters) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of the scores and number of items of every cluster, in order of first appearance."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or len(values) != len(clusters):
        raise ValueError(f"expected one score and one cluster an item, found {values.shape} and ({len(clusters)},)")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(f"score {bad[0]} is {values[bad[0]]}: expected a finite number")
    numbers: dict[Hashable, int] = {}
    index = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters])
    return np.bincount(index, weights=values), np.bincount(index).astype(np.float64)


def is_share(values: NDArray[np.float64]) -> bool:
    """Whether all scores lie in [0, 1]."""
    return bool(((values >= 0) & (values <= 1)).all())


def chunks(rows: int, width: int) -> Iterator[int]:
    """rows, cut so that no part holds more than CHUNK numbers."""
    step = max(1, CHUNK // width)
    yield from (min(step, rows - start) for start in range(0, rows, step))
