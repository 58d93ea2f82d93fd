"""The sign-flip test of a mean change of 0, for changes in clusters, without a distribution."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from mmrl.evaluation.statistics.clusters import ROUNDING, Clusters, Values, chunks, cluster_sums

ENUMERATED = 16  # clusters whose 2^C flips are all enumerated
CONVOLVED = 50_000  # total change up to which the exact distribution of whole numbers is computed


def sign_flip(change: ArrayLike, clusters: Clusters, resamples: int = 9_999, seed: int = 0) -> float:
    """Return the two-sided p-value of "the mean change is 0" by flipping the signs of whole clusters (Fisher 1935).

    It is the share of flips with |sum_c +-S_c| >= |sum_c S_c|, S_c the sum of the changes in cluster c. It assumes
    that the change of a cluster is as likely to be x as -x. It is exact if the S_c are whole numbers (scores of 0 and 1),
    by convolution, and for at most 16 clusters that changed, by enumeration; otherwise sampled:
    (1 + as extreme) / (1 + resamples), which is never 0. It is 1 if at most one cluster changed.
    """
    sums = cluster_sums(change, clusters)[0]
    sums = sums[np.abs(sums) > ROUNDING]  # flipping them changes nothing
    if len(sums) < 2:
        return 1.0
    if (sums == np.round(sums)).all() and np.abs(sums).sum() <= CONVOLVED:
        return by_convolution(sums)
    return by_enumeration(sums) if len(sums) <= ENUMERATED else by_sampling(sums, resamples, seed)


def by_convolution(sums: Values) -> float:
    """Return P(|S| >= |observed|) where S has the generating function prod_c (x^S_c + x^-S_c) / 2 (Pagano, Tritchler 1983).

    m clusters of one size s give s (2 Binomial(m, 1/2) - m), so sizes are convolved and not clusters.
    """
    chance = np.ones(1)  # probabilities of the sums -T .. T, T the total of the sizes so far
    for size, times in zip(*np.unique(np.abs(sums).astype(int), return_counts=True), strict=True):
        spread = np.zeros(2 * size * times + 1)
        spread[:: 2 * size] = stats.binom.pmf(np.arange(times + 1), times, 0.5)
        chance = np.convolve(chance, spread)
    total = len(chance) // 2
    return min(1.0, float(chance[np.abs(np.arange(-total, total + 1)) >= abs(sums.sum())].sum()))


def by_enumeration(sums: Values) -> float:
    """Return the p-value over all 2^C flips."""
    flipped = (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1
    return float(as_extreme(flipped, sums).mean())


def by_sampling(sums: Values, resamples: int, seed: int) -> float:
    """Return the p-value over random flips; the observed signs count as one of them (Phipson and Smyth 2010)."""
    if resamples < 1:
        raise ValueError(f"sign_flip: expected at least one resample, found {resamples}")
    generator, extreme = np.random.default_rng(seed), 0
    for rows in chunks(resamples, len(sums)):
        extreme += int(as_extreme(generator.integers(0, 2, (rows, len(sums)), dtype=np.int8), sums).sum())
    return (1 + extreme) / (1 + resamples)


def as_extreme(flipped: np.ndarray, sums: Values) -> np.ndarray:
    """Return True for the flips that give a sum at least as far from 0 as the observed one; equal up to rounding is equal."""
    tolerance = ROUNDING * np.abs(sums).sum()
    return np.abs(sums.sum() - 2 * (flipped.astype(np.float64) @ sums)) >= abs(sums.sum()) - tolerance
