"""Statistics of an evaluation: the error of a mean when items share a video, and the difference of two measurements.

``scores`` are one number an item, ``clusters`` one label an item; items of one cluster are not independent (they show
the same video or are counterfactuals of one another), clusters are. No function has state: random ones take a seed.
NaN scores, lists that do not match and k > n raise ValueError. A single cluster has no spread: errors are inf, intervals
cover all possible values, p is 1. Formulas after Miller (2024, arXiv 2411.00640) and standard
texts; docs/statistics.md lists the questions and their functions, each with an example.
"""

from mmrl.evaluation.statistics.bounds import bounded_difference, bounded_mean
from mmrl.evaluation.statistics.calibration import calibration_error, calibration_interval, perfect_error
from mmrl.evaluation.statistics.clusters import cluster_sums, clustered_error, design_effect, iid_error
from mmrl.evaluation.statistics.comparison import (
    Comparison,
    Difference,
    adjust,
    compare,
    holm,
    mcnemar,
    paired,
    seed_difference,
)
from mmrl.evaluation.statistics.intervals import bootstrap_interval, half_width, mean_interval, wilson
from mmrl.evaluation.statistics.permutation import sign_flip
from mmrl.evaluation.statistics.power import detectable, minimum_detectable_effect
from mmrl.evaluation.statistics.samples import (
    chance_corrected,
    guess_at_k,
    guess_rate,
    majority_at_k,
    pass_at_k,
    pass_hat_k,
)

__all__ = [
    "Comparison",
    "Difference",
    "adjust",
    "bootstrap_interval",
    "bounded_difference",
    "bounded_mean",
    "calibration_error",
    "calibration_interval",
    "chance_corrected",
    "cluster_sums",
    "clustered_error",
    "compare",
    "design_effect",
    "detectable",
    "guess_at_k",
    "guess_rate",
    "half_width",
    "holm",
    "iid_error",
    "majority_at_k",
    "mcnemar",
    "mean_interval",
    "minimum_detectable_effect",
    "paired",
    "pass_at_k",
    "pass_hat_k",
    "perfect_error",
    "seed_difference",
    "sign_flip",
    "wilson",
]
