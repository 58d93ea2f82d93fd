"""Comparison of two measurements of the same items: difference, interval, p-value and minimum detectable effect."""

import math
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from mmrl.evaluation.statistics.clusters import (
    ROUNDING,
    Clusters,
    aligned,
    clustered_error,
    design_effect,
    finite,
    is_binary,
    is_share,
)
from mmrl.evaluation.statistics.intervals import half_width, wilson
from mmrl.evaluation.statistics.permutation import sign_flip
from mmrl.evaluation.statistics.power import detectable

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Difference:
    """The change between two measurements of the same items."""

    before: float  # mean score
    after: float
    mean: float  # after minus before
    low: float  # limits of the interval of the mean difference
    high: float
    p_signflip: float  # two-sided, flipping whole clusters
    n: int  # pairs
    clusters: int


@dataclass(frozen=True, slots=True)
class McNemar:
    """The items on which two measurements of right and wrong disagree."""

    only_before: int  # items right before and wrong after (n10)
    only_after: int  # items wrong before and right after (n01)
    p_exact: float  # two-sided
    p_mid: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A difference and the numbers by which a reader can check it. With a single cluster error, effect and mde are inf."""

    difference: Difference
    error: float  # clustered standard error of the mean difference
    design_effect: float  # of the changes
    correlation: float | None  # Pearson's, of the two lists of scores; None if one of them does not vary
    discordant: tuple[int, int] | None  # items right only before, only after; None for scores other than 0 and 1
    mcnemar: McNemar | None  # for scores of 0 and 1, each item a cluster of its own
    mde: float  # minimum detectable effect at 80 % power and two-sided 5 %
    p_holm: float | None = None  # p_signflip adjusted for the other comparisons of its table, by `adjust`


def compare(
    before: ArrayLike, after: ArrayLike, clusters: Clusters, confidence: float = 0.95, seed: int = 0
) -> Comparison:
    """Return the comparison of after and before over the same items. Raises ValueError for lists that do not match or hold NaN."""
    first, second = aligned(before, after)
    change = second - first
    binary = is_binary(first) and is_binary(second)
    alone = len(set(clusters)) == len(change)
    vary = min(np.ptp(first), np.ptp(second)) > ROUNDING
    return Comparison(
        difference=paired(first, second, clusters, confidence, seed),
        error=clustered_error(change, clusters),
        design_effect=design_effect(change, clusters),
        correlation=float(np.corrcoef(first, second)[0, 1]) if vary else None,
        discordant=(int((change < 0).sum()), int((change > 0).sum())) if binary else None,
        mcnemar=mcnemar(first, second) if binary and alone else None,
        mde=detectable(change, clusters),
    )


def mcnemar(before: ArrayLike, after: ArrayLike) -> McNemar:
    """Return McNemar's test of independent items that are right (1) or wrong (0) in each measurement (McNemar 1947).

    Under "no difference" the smaller discordant count is Binomial(n01 + n10, 1/2). p_exact = P(as extreme or more),
    p_mid = P(more extreme) + P(as extreme) / 2 (Fagerland, Lydersen, Laake 2013). Without discordant items both are 1.
    Items that share a video are not independent: then this p-value is too small, use `sign_flip`. Raises ValueError
    for scores other than 0 and 1.
    """
    first, second = aligned(before, after)
    if not (is_binary(first) and is_binary(second)):
        raise ValueError("mcnemar: expected scores of 0 and 1; use sign_flip for others")
    lost, gained = int((first > second).sum()), int((second > first).sum())
    discordant = lost + gained
    if discordant == 0:
        return McNemar(lost, gained, 1.0, 1.0)
    exact = float(stats.binomtest(lost, discordant).pvalue)
    equal = float(stats.binom.pmf(lost, discordant, 0.5)) * (1 if lost == gained else 2)
    return McNemar(lost, gained, exact, exact - equal / 2)


def holm(p_values: ArrayLike) -> list[float]:
    """Return p-values adjusted so that the chance of any false rejection among them stays below the level (Holm 1979).

    In ascending order, p_(i) becomes max over j <= i of min(1, (m - j + 1) p_(j)). It holds for every dependence. Raises
    ValueError for values outside [0, 1].
    """
    values = finite(p_values)
    if ((values < 0) | (values > 1)).any():
        raise ValueError(f"holm: expected probabilities, found {values.tolist()}")
    order = np.argsort(values, kind="stable")
    steps = np.minimum(1, (len(values) - np.arange(len(values))) * values[order])
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted.tolist()


def adjust(comparisons: Mapping[Name, Comparison], exploratory: Collection[Name] = ()) -> dict[Name, Comparison]:
    """Return the comparisons of one table with p_holm set; it stays None for those named exploratory, which are no tests."""
    unknown = set(exploratory) - set(comparisons)
    if unknown:
        raise ValueError(
            f"adjust: exploratory comparisons {sorted(map(str, unknown))} are not among {list(comparisons)}"
        )
    family = [name for name in comparisons if name not in exploratory]
    adjusted = holm([comparisons[name].difference.p_signflip for name in family]) if family else []
    p = dict(zip(family, adjusted, strict=True))
    return {name: replace(one, p_holm=p.get(name)) for name, one in comparisons.items()}


def paired(
    before: ArrayLike, after: ArrayLike, clusters: Clusters, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """Return the mean of after - before over the same items: mean +- t_{C-1} * clustered error, p by sign flips of clusters.

    If all clusters differ by the same amount the error is 0 but the uncertainty is not: shares then get the half width
    of Wilson's interval of 0 of C. The interval of a single cluster covers all possible values.
    """
    first, second = aligned(before, after)
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


def seed_difference(before: Mapping[int, float], after: Mapping[int, float], confidence: float = 0.95) -> Difference:
    """Return two methods trained with the same seeds, one number a seed: paired t interval with S - 1 degrees of freedom.

    A seed must fix what both runs share (order of the data, sampling noise). p_signflip flips whole seeds, so below six
    seeds it cannot reach 5 %. Raises ValueError if the seeds differ.
    """
    if before.keys() != after.keys():
        raise ValueError(f"seed_difference: expected the same seeds, found {sorted(before)} and {sorted(after)}")
    seeds = sorted(before)
    return paired([before[seed] for seed in seeds], [after[seed] for seed in seeds], seeds, confidence)
