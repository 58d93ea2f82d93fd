"""Several comparisons in one table: the more there are, the more look significant by chance."""

import numpy as np
from numpy.typing import ArrayLike

from mmrl.evaluation.statistics.clusters import finite


def holm(p_values: ArrayLike) -> list[float]:
    """Return p-values adjusted so that the chance of any false claim among them stays below the level (Holm 1979).

    In ascending order, p_(i) becomes max over j <= i of min(1, (m - j + 1) p_(j)). Whatever their dependence. Raises
    ValueError for what is no probability.
    """
    values = finite(p_values)
    if ((values < 0) | (values > 1)).any():
        raise ValueError(f"holm: expected probabilities, found {values.tolist()}")
    order = np.argsort(values, kind="stable")
    steps = np.minimum(1, (len(values) - np.arange(len(values))) * values[order])
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted.tolist()
