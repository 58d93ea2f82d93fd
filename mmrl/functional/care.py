"""GRPO-CARE's bonus for consistency, from plain tensors of one group.

Source: Chen et al. 2025 (2506.16141) sec. 4, algorithm 1. ``mmrl/algorithms/care.py`` says where mmrl departs from it.
"""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.functional import policy_gradient
from mmrl.functional.shapes import check_mask, check_shape

Consistency = Literal[
    "relative", "dense"
]  # relative: a bonus for the likelier completions; dense: one as large as the likelihood


def care_bonus(
    ref_logprobs: Float[Tensor, "g t"],
    answer_mask: Bool[Tensor, "g t"],
    accuracy: Float[Tensor, " g"],
    *,
    bonus: float = 0.5,
    margin: float = 0.0,
    max_likelihood: float = 0.95,
    accuracy_threshold: float = policy_gradient.ACCURACY_THRESHOLD,
    likelihood: policy_gradient.Likelihood = "geometric",
    consistency: Consistency = "relative",
) -> Float[Tensor, " g"]:
    """Return the reward [g] that each completion of a group earns for an answer that follows from its reasoning.

    ``ref_logprobs`` are the reference's log-probabilities of the completions' tokens; only those of the answer count, where
    ``answer_mask`` is True. ``accuracy`` is the accuracy reward of each completion, from 0 to 1. A completion can earn the bonus if its
    accuracy is above ``accuracy_threshold`` and not below the group's mean, and if it has an answer. With ``relative`` it earns
    bonus x accuracy if the likelihood of its answer is not below m - ``margin``, where m is the mean over those that can earn
    it. With ``dense`` every completion with an answer and an accuracy above 0 earns bonus x accuracy x likelihood. Likelihoods
    above ``max_likelihood`` count as that. All are 0 if no completion can earn it. Raises ValueError for other shapes.
    """
    check_mask(answer_mask, ref_logprobs.shape, "g t", "care_bonus: answer_mask")
    check_shape(accuracy, ref_logprobs.shape[:1], "g", "care_bonus: accuracy")
    chosen = care_eligible(answer_mask, accuracy, accuracy_threshold, consistency)
    likely = care_likelihood(ref_logprobs, answer_mask, max_likelihood, likelihood)
    if consistency == "dense":
        return bonus * accuracy * likely * chosen
    above = likely >= likely[chosen].mean() - margin - policy_gradient.ROUNDING
    return bonus * accuracy * (chosen & above)


def care_eligible(
    answer_mask: Bool[Tensor, "g t"],
    accuracy: Float[Tensor, " g"],
    accuracy_threshold: float = policy_gradient.ACCURACY_THRESHOLD,
    consistency: Consistency = "relative",
) -> Bool[Tensor, " g"]:
    """Return the completions that can earn the bonus: those that are accurate and whose answer can be found."""
    right = accuracy > 0 if consistency == "dense" else policy_gradient.accurate(accuracy, accuracy_threshold)
    return answer_mask.any(dim=1) & right


def care_likelihood(
    ref_logprobs: Float[Tensor, "g t"],
    answer_mask: Bool[Tensor, "g t"],
    max_likelihood: float = 0.95,
    likelihood: policy_gradient.Likelihood = "geometric",
) -> Float[Tensor, " g"]:
    """Return the likelihood of each answer under the reference, at most ``max_likelihood``; rows without an answer have none."""
    answers = ref_logprobs.masked_fill(~answer_mask, 0.0)  # elsewhere anything may stand, infinities too
    return policy_gradient.likelihood(answers, answer_mask, likelihood).clamp(max=max_likelihood)
