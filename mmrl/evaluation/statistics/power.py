"""Power of a comparison: the smallest effect that its items show with a stated power."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from mmrl.evaluation.statistics.clusters import ROUNDING, Clusters, cluster_sums, finite, probability
from mmrl.evaluation.statistics.intervals import wilson


def minimum_detectable_effect(discordant: float, n: float, power: float = 0.8, level: float = 0.05) -> float:
    """Return the smallest paired difference of shares that n items show with this power.

    (z_{1 - level/2} + z_power) * sqrt(discordant / n), where discordant is the share of items on which the two
    measurements disagree. Divide n by the design effect if items cluster. It is for planning; for measured pairs
    `detectable` takes clusters into account by itself.
    """
    if not 0 <= discordant <= 1 or not 0 < n < math.inf:
        raise ValueError(f"minimum_detectable_effect: expected a share of n > 0, found {discordant} of {n}")
    probability("minimum_detectable_effect: power", power)
    probability("minimum_detectable_effect: level", level)
    return float((stats.norm.isf(level / 2) + stats.norm.isf(1 - power)) * math.sqrt(discordant / n))


def detectable(change: ArrayLike, clusters: Clusters, power: float = 0.8, level: float = 0.05) -> float:
    """Return the smallest mean change that a comparison with this noise shows with this power, in units of the change.

    (t_{C-1, 1 - level/2} + t_{C-1, power}) * sqrt(sum_c S_c^2) / n, S_c the sum of the changes in cluster c: the
    square root is the standard error under "no difference", as in `sign_flip`. For 0/1 scores of independent items
    it is sqrt(discordant / n), and the whole `minimum_detectable_effect` up to t for z (Student's t because z is too
    optimistic with few clusters; Bloom 1995).

    It is inf if C clusters can reach no p below the level (2^(1-C) > level: five and fewer at 5 %). If nothing changed,
    the discordant share is Wilson's upper limit of 0 of C; scores that are no shares give inf.
    """
    probability("detectable: power", power)
    probability("detectable: level", level)
    values = finite(change)
    sums = cluster_sums(values, clusters)[0]
    if 2.0 ** (1 - len(sums)) > level:
        return math.inf
    error = float(np.sqrt(np.square(sums).sum())) / len(values)
    if error <= ROUNDING:
        error = math.sqrt(wilson(0.0, len(sums))[1] / len(sums)) if np.abs(values).max() <= 1 else math.inf
    freedom = len(sums) - 1
    return float(stats.t.isf(level / 2, freedom) + stats.t.isf(1 - power, freedom)) * error
