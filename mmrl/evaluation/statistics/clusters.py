"""Errors of a mean when items share a video: the unit is the cluster."""

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK = 2_000_000  # numbers drawn at once, to bound memory
ROUNDING = 1e-12  # an error below this is a zero with rounding on it

Clusters = Sequence[Hashable] | NDArray[Any]
Values = NDArray[np.float64]


def clustered_error(scores: ArrayLike, clusters: Clusters) -> float:
    """Return the standard error of the mean with independent clusters; inf for a single cluster.

    SE^2 = n^-2 sum_c (sum_{i in c} (s_i - mean))^2 * C / (C - 1)   (Miller 2024, eq. 4, with the small-sample factor)
    """
    sums, counts = cluster_sums(scores, clusters)
    if len(sums) == 1:
        return math.inf
    mean = sums.sum() / counts.sum()
    squares = np.square(sums - counts * mean).sum()
    return float(np.sqrt(squares * len(sums) / (len(sums) - 1)) / counts.sum())


def iid_error(scores: ArrayLike) -> float:
    """Return the standard error of the mean if every item were independent; inf for one item.

    SE^2 = sum_i (s_i - mean)^2 / (n (n - 1))
    """
    values = finite(scores)
    return clustered_error(values, range(len(values)))


def design_effect(scores: ArrayLike, clusters: Clusters) -> float:
    """Return the variance of the mean over its variance with independent items; 1 if nothing varies.

    SE_clustered^2 / SE_iid^2 (Kish 1965). If it is far above 1, intervals without clusters are too narrow; inf for
    a single cluster of several items.
    """
    alone = iid_error(scores)
    return 1.0 if alone == 0 or math.isinf(alone) else (clustered_error(scores, clusters) / alone) ** 2


def cluster_sums(scores: ArrayLike, clusters: Clusters) -> tuple[Values, Values]:
    """Return the sum of the scores and the number of items of every cluster, in order of first appearance."""
    values = finite(scores)
    if len(values) != len(clusters):
        raise ValueError(f"expected one score and one cluster an item, found {values.shape} and ({len(clusters)},)")
    index = numbered(clusters)
    return np.bincount(index, weights=values).astype(np.float64), np.bincount(index).astype(np.float64)


def numbered(clusters: Clusters) -> NDArray[np.intp]:
    """Return clusters as numbers 0, 1, .. in order of first appearance. Raises ValueError for an empty label, None or NaN."""
    labels = clusters.tolist() if isinstance(clusters, np.ndarray) else list(clusters)
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    for label in numbers:
        if label is None or label == "" or label != label:
            where = f"cluster of item {labels.index(label)} is {label!r}"
            raise ValueError(f"{where}: expected a label; an item on its own needs one of its own")
    return np.array([numbers[label] for label in labels], dtype=np.intp)


def finite(scores: ArrayLike) -> Values:
    """Return scores as float64. Raises ValueError unless they are a list of at least one finite number."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(
            f"expected a list of at least one score, one score and one cluster an item, found {values.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(
            f"score {bad[0]} is {values[bad[0]]}: expected a finite number; what is unscored needs its bounds"
        )
    return values


def aligned(before: ArrayLike, after: ArrayLike) -> tuple[Values, Values]:
    """Return two lists of finite scores of the same items. Raises ValueError if their lengths differ."""
    first, second = finite(before), finite(after)
    if first.shape != second.shape:
        raise ValueError(f"expected the same items twice, found {first.shape} before and {second.shape} after")
    return first, second


def is_share(values: Values) -> bool:
    """Return True if all scores lie in [0, 1]."""
    return bool(((values >= 0) & (values <= 1)).all())


def is_binary(values: Values) -> bool:
    """Return True if all scores are 0 or 1."""
    return bool(((values == 0) | (values == 1)).all())


def probability(name: str, value: float) -> None:
    """Raise ValueError unless 0 < value < 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name}: expected a number between 0 and 1, found {value}")


def chunks(rows: int, width: int) -> Iterator[int]:
    """Yield numbers of rows that add up to ``rows``, so that no part holds more than CHUNK numbers."""
    step = max(1, CHUNK // width)
    yield from (min(step, rows - start) for start in range(0, rows, step))


def draws(times: NDArray[np.intp], resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield how often each kind of cluster is drawn with replacement, [rows, kinds]; ``times``: clusters of each kind."""
    generator = np.random.default_rng(seed)
    for rows in chunks(resamples, len(times)):
        yield generator.multinomial(times.sum(), times / times.sum(), size=rows)
