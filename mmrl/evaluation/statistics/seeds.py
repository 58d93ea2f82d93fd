"""Claims about a training method: the unit is the training run, and its seed names it."""

from collections.abc import Mapping

from mmrl.evaluation.statistics.comparison import Difference, paired


def seed_difference(before: Mapping[int, float], after: Mapping[int, float], confidence: float = 0.95) -> Difference:
    """Return two methods trained with the same seeds, one number a seed: paired t interval with S - 1 degrees of freedom.

    A seed must fix what both runs share (order of the data, sampling noise). p_signflip flips whole seeds, so below six
    seeds it cannot reach 5 %. Raises ValueError where the seeds differ.
    """
    if before.keys() != after.keys():
        raise ValueError(f"seed_difference: expected the same seeds, found {sorted(before)} and {sorted(after)}")
    seeds = sorted(before)
    return paired([before[seed] for seed in seeds], [after[seed] for seed in seeds], seeds, confidence)
