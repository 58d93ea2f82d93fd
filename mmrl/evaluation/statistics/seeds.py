"""Claims about a training method: the unit is the training run, and its seed names it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mmrl.evaluation.statistics.clusters import finite
from mmrl.evaluation.statistics.comparison import Difference, paired
from mmrl.evaluation.statistics.intervals import half_width


@dataclass(frozen=True, slots=True)
class SeedMean:
    """A metric of several training runs. With one seed limits and deviation are infinite."""

    mean: float
    low: float
    high: float
    deviation: float  # standard deviation over seeds
    seeds: int


def seed_interval(means: Sequence[float], confidence: float = 0.95) -> SeedMean:
    """What another seed of the same method may give on average: mean +- t_{S-1} s / sqrt(S).

    means: one number a seed, each over all items. The spread over items of one run is no part of it: a larger benchmark
    does not make a method surer. Hochlehnert et al. (2025, arXiv 2504.07086) find several points between seeds.
    """
    values = finite(means)
    half = half_width(values, range(len(values)), confidence)
    deviation = float(values.std(ddof=1)) if len(values) > 1 else math.inf
    mean = float(values.mean())
    return SeedMean(mean, mean - half, mean + half, deviation, len(values))


def seed_difference(before: Mapping[int, float], after: Mapping[int, float], confidence: float = 0.95) -> Difference:
    """Two methods trained with the same seeds, one number a seed: paired t interval with S - 1 degrees of freedom.

    Pair by seed where it fixes what both runs share (order of the data, sampling noise); otherwise use
    `welch_difference`. p_signflip flips whole seeds, so below six seeds it cannot reach 5 %. Raises ValueError where
    the seeds differ.
    """
    if before.keys() != after.keys():
        raise ValueError(f"seed_difference: expected the same seeds, found {sorted(before)} and {sorted(after)}")
    seeds = sorted(before)
    return paired([before[seed] for seed in seeds], [after[seed] for seed in seeds], seeds, confidence)


def welch_difference(
    before: Sequence[float], after: Sequence[float], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean of after minus mean of before, and the limits of its interval, for runs that share no seed (Welch 1947).

    Needs two runs of each; raises ValueError otherwise. Where no run differs from its fellows the width is 0.
    """
    first, second = finite(before), finite(after)
    if min(len(first), len(second)) < 2:
        raise ValueError(f"welch_difference: expected two runs of each or more, found {len(first)} and {len(second)}")
    mean = float(second.mean() - first.mean())
    if max(np.ptp(first), np.ptp(second)) == 0:
        return mean, mean, mean
    limits = stats.ttest_ind(second, first, equal_var=False).confidence_interval(confidence)
    return mean, float(limits.low), float(limits.high)
