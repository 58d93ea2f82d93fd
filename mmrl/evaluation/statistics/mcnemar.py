"""McNemar's test: two measurements of right and wrong may disagree more one way than the other."""

from dataclasses import dataclass

from numpy.typing import ArrayLike
from scipy import stats

from mmrl.evaluation.statistics.clusters import aligned, is_binary


@dataclass(frozen=True, slots=True)
class McNemar:
    """The items on which two measurements of right and wrong disagree."""

    only_before: int  # items right before and wrong after (n10)
    only_after: int  # items wrong before and right after (n01)
    p_exact: float  # two-sided
    p_mid: float


def mcnemar(before: ArrayLike, after: ArrayLike) -> McNemar:
    """Return McNemar's test of independent items that are right (1) or wrong (0) twice (McNemar 1947).

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
