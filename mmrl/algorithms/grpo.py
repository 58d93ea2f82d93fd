"""Group relative policy optimisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.algorithms.base import (
    Algorithm,
    Clipped,
    Needs,
    check_epsilon,
    check_loss_scale_factor,
    check_penalty,
    known,
    sampling_logprobs,
)
from mmrl.functional import policy_gradient
from mmrl.types import Frozen, Group, ReferenceUpdate, Scored, Tokens, TokenWeights


@dataclass(frozen=True, kw_only=True)
class GRPO(Algorithm):
    """The advantage of a completion is its reward, compared with the rewards of its group.

        A_g  = (R_g - mean R) / (std R + 1e-4)                                  baseline: group_mean_std, the unbiased std
        loss = - 1/G sum_g 1/T_g sum_t [ratio_gt A_g - beta k3_gt]              loss_agg_mode: seq-mean-token-mean

    with ratio = pi / stopgrad(pi), which is 1 in value, or pi / pi_sampled clipped to 1 +- epsilon if ``epsilon`` is given.
    ``beta: 0`` needs no reference and loads none. Source: Shao et al. 2024 (2402.03300) eq. 3-4; without epsilon as in the
    released trainers of Video-R1 and GRPO-CARE. Departure: a group's statistics are its own even if a batch holds several groups.

    GRPO-CARE ablates the KL penalty (2506.16141, table 3): KL-EMA is an ``ema`` reference; -HA is ``kl_on: correct``;
    SepKL is ``kl_mean: separate``, in which the means over the reasoning and over the answer are added. The paper does not
    say how it defines "high accuracy" and splits the tokens; here it is by CARE's own filter and by the graded answer's tokens.
    """

    name: Literal["grpo"] = "grpo"
    beta: float = 0.04  # weight of the KL to the reference
    epsilon: float | None = None  # the ratio is clipped to 1 +- epsilon; none: it is 1
    baseline: policy_gradient.Baseline = "group_mean_std"
    loss_agg_mode: policy_gradient.LossAggMode = "seq-mean-token-mean"
    loss_scale_factor: float = 1.0  # divides the loss of seq-mean-token-sum-norm
    kl_on: Literal["all", "correct"] = "all"  # the completions whose KL counts
    kl_mean: Literal["together", "separate"] = "together"  # separate: reasoning and answer have a mean each
    reference: ReferenceUpdate | None = Frozen()

    def __post_init__(self) -> None:
        check_penalty(self.beta, self.reference)
        check_epsilon(self.epsilon)
        check_loss_scale_factor(self.loss_scale_factor)

    @property
    def needs(self) -> Needs:
        return Needs(
            rewards=("accuracy",) if self.kl_on == "correct" else (),
            group_baseline=self.baseline != "none",
            reference=self.reference if self.beta > 0 else None,
            off_policy=self.epsilon is not None,
            off_policy_setting="algorithm.epsilon, for example 0.2",
        )

    def reference_mask(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"] | None:
        return self.kl_mask(group, rewards) if self.beta > 0 else None

    def kl_mask(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"]:
        """Return a mask of the tokens whose KL counts."""
        if self.kl_on == "all":
            return group.completion_mask
        return group.completion_mask & policy_gradient.accurate(rewards["accuracy"])[:, None]

    def advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, " g"]:
        return policy_gradient.group_advantages(scored.total, self.baseline)

    def kl_weights(self, scored: Scored) -> Float[Tensor, "g t"]:
        group, dtype = scored.group, scored.total.dtype
        weights = self.beta * self.kl_mask(group, scored.rewards).to(dtype)
        if self.kl_mean == "together":
            return weights
        return weights * separate_means(group.completion_mask, group.answer_mask, dtype)

    def loss(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Float[Tensor, "n t"]:
        return clipped_loss(policy, weights, rows, self.beta, self.epsilon)

    def clipped(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Clipped | None:
        return policy_gradient.clipped_tokens(ratio(policy, rows, self.epsilon), weights.advantage, self.epsilon)


@dataclass(frozen=True, kw_only=True)
class DrGRPO(GRPO):
    """GRPO that divides neither by the length of a completion nor by the standard deviation of a group.

    ``loss_scale_factor`` divides the sums over tokens: in the paper it is the largest number of tokens of a completion.
    Source: Liu et al. 2025 (2503.20783) sec. 3.2.
    """

    name: Literal["dr_grpo"] = "dr_grpo"
    beta: float = 0.0
    baseline: policy_gradient.Baseline = "group_mean"
    loss_agg_mode: policy_gradient.LossAggMode = "seq-mean-token-sum-norm"
    reference: ReferenceUpdate | None = None


def ratio(policy: Tokens, rows: Scored, epsilon: float | None) -> Float[Tensor, "n t"]:
    """Return the ratio of each token to the policy that sampled if there is an epsilon, else to the present policy, which is 1."""
    old = policy.logprobs.detach() if epsilon is None else sampling_logprobs(rows, "algorithm.epsilon")
    return policy_gradient.ratio(policy.logprobs, old)


def clipped_loss(
    policy: Tokens, weights: TokenWeights, rows: Scored, beta: float, epsilon: float | None
) -> Float[Tensor, "n t"]:
    """Return kl_weight k3 - min(ratio A, clip(ratio) A) of each token."""
    gain = policy_gradient.clipped_surrogate(ratio(policy, rows, epsilon), weights.advantage, epsilon)
    if beta == 0:
        return -gain
    return weights.kl_weight * policy_gradient.k3(policy.logprobs, known(rows.ref_logprobs, "reference")) - gain


def separate_means(mask: Bool[Tensor, "g t"], answer: Bool[Tensor, "g t"], dtype: torch.dtype) -> Float[Tensor, "g t"]:
    """Return weights that make a mean over a completion's tokens the mean over its reasoning plus the mean over its answer."""
    count = mask.sum(dim=1, keepdim=True).to(dtype)
    reasoning, answer = mask & ~answer, mask & answer
    weights = [part * count / part.sum(dim=1, keepdim=True).clamp(min=1) for part in (reasoning, answer)]
    return weights[0] + weights[1]
