"""Numbers one can defend: how sure a mean is when items share a video, and whether two measurements differ.

``scores`` are one number an item, ``clusters`` one label an item; items of one cluster are not independent (they show
the same video or are counterfactuals of one another), clusters are. Nothing keeps state: what is random takes a seed.
Scores that are NaN, lists that do not match and k > n are a ValueError. A single cluster says nothing of the spread:
errors are inf, intervals are all that is possible, p is 1. Formulas after Miller (2024, arXiv 2411.00640) and standard
texts; docs/statistics.md says which number answers which question.

- One measurement: `estimate` (mean, cluster bootstrap, clustered and iid error, design effect, Wilson), and its parts
  `mean_interval`, `bootstrap_interval`, `wilson`, `clustered_wilson`, `half_width`, `clustered_error`, `iid_error`,
  `design_effect`, `variance_parts`.
- Two measurements of the same items: `compare` (difference, t interval, sign-flip p, McNemar, discordant counts,
  correlation, minimum detectable effect), `describe` (in one line), and the parts `paired`, `sign_flip`, `mcnemar`,
  `detectable`; `minimum_detectable_effect` for planning.
- A table of them: `adjust` (Holm over Comparisons), `holm`.
- Training runs: `seed_interval`, `seed_difference` (same seeds), `welch_difference` (others).
- Several samples an item: `mean_at_k`, `pass_at_k`, `pass_hat_k`, `majority_at_k`, `guess_at_k`.
- Guessing and groups: `guess_rate`, `chance_corrected`, `all_right`.
- Unscored items: `bounded_mean`, `bounded_difference`.
- Confidence: `option_probabilities`, `brier`, `calibration_error`, `calibration_interval`, `perfect_error`,
  `selective_risk`, `risk_coverage_area`.
"""

from mmrl.evaluation.statistics.bounds import Bounds, bounded_difference, bounded_mean
from mmrl.evaluation.statistics.calibration import (
    brier,
    calibration_error,
    calibration_interval,
    option_probabilities,
    perfect_error,
    risk_coverage_area,
    selective_risk,
)
from mmrl.evaluation.statistics.chance import all_right, chance_corrected, guess_rate
from mmrl.evaluation.statistics.clusters import (
    Clusters,
    cluster_sums,
    clustered_error,
    design_effect,
    iid_error,
    is_share,
    variance_parts,
)
from mmrl.evaluation.statistics.comparison import Comparison, Difference, adjust, compare, describe, paired
from mmrl.evaluation.statistics.intervals import (
    Estimate,
    bootstrap_interval,
    clustered_wilson,
    estimate,
    half_width,
    mean_interval,
    wilson,
)
from mmrl.evaluation.statistics.mcnemar import McNemar, mcnemar
from mmrl.evaluation.statistics.multiplicity import holm
from mmrl.evaluation.statistics.permutation import sign_flip
from mmrl.evaluation.statistics.power import detectable, minimum_detectable_effect
from mmrl.evaluation.statistics.samples import guess_at_k, majority_at_k, mean_at_k, pass_at_k, pass_hat_k
from mmrl.evaluation.statistics.seeds import SeedMean, seed_difference, seed_interval, welch_difference

__all__ = [
    "Bounds", "Clusters", "Comparison", "Difference", "Estimate", "McNemar", "SeedMean", "adjust", "all_right",
    "bootstrap_interval", "bounded_difference", "bounded_mean", "brier", "calibration_error", "calibration_interval",
    "chance_corrected", "cluster_sums", "clustered_error", "clustered_wilson", "compare", "describe", "design_effect",
    "detectable", "estimate", "guess_at_k", "guess_rate", "half_width", "holm", "iid_error", "is_share",
    "majority_at_k", "mcnemar", "mean_at_k", "mean_interval", "minimum_detectable_effect", "option_probabilities",
    "paired", "pass_at_k", "pass_hat_k", "perfect_error", "risk_coverage_area", "seed_difference", "seed_interval",
    "selective_risk", "sign_flip", "variance_parts", "welch_difference", "wilson",
]  # fmt: skip
