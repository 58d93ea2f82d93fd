"""Group relative policy optimisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.algorithms.base import Algorithm, Needs, check_epsilon, check_loss_scale_factor, check_penalty, known, sampler_logp
from mmrl.functional import policy_gradient
from mmrl.types import Credit, Frozen, Group, Scored, Tokens, ReferenceUpdate


@dataclass(frozen=True, kw_only=True)
class GRPO(Algorithm):
    """A completion is worth as much more than its siblings as its reward is.

        A_g  = (R_g - mean R) / (std R + 1e-4)                                         standardise: std, unbiased
        loss = - 1/G sum_g 1/T_g sum_t [ratio_gt A_g - beta k3_gt]                     reduce: sequence

    with ratio = pi / stopgrad(pi), which is 1 in value, or pi / pi_sampled cut to 1 +- clip where ``clip`` is given.
    ``beta: 0`` needs no reference and loads none. Source: Shao et al. 2024 (2402.03300) eq. 3-4; without clip as in the
    released trainers of Video-R1 and GRPO-CARE. Departures: a group's rewards are its own even where a batch holds several.

    The divergence as GRPO-CARE ablates it (2506.16141, table 3): KL-EMA is an ``ema`` reference; -HA is ``rows: accurate``;
    SepKL is ``tokens: separate``, in which the means over the reasoning and over the answer are added. How the paper defines
    "high accuracy" and splits the tokens is not published; here it is CARE's own filter, and the graded answer's tokens.
    """

    name: Literal["grpo"] = "grpo"
    beta: float = 0.04  # weight of the divergence to the reference
    epsilon: float | None = None
    baseline: Literal["std", "none"] = "std"
    loss_agg_mode: policy_gradient.LossAggMode = "sequence"
    loss_scale_factor: float = 1.0  # what a completion counts as where reduce is constant
    kl_on: Literal["all", "accurate"] = "all"  # whose divergence counts
    kl_mean: Literal["all", "separate"] = "all"  # whether reasoning and answer have a mean each
    reference: ReferenceUpdate | None = Frozen()

    def __post_init__(self) -> None:
        check_penalty(self.beta, self.reference)
        check_epsilon(self.epsilon)
        check_loss_scale_factor(self.loss_scale_factor)

    @property
    def needs(self) -> Needs:
        return Needs(
            rewards=("accuracy",) if self.kl_on == "accurate" else (),
            reference=self.reference if self.beta > 0 else None,
            off_policy=self.epsilon is not None,
            off_policy_setting="algorithm.clip, for example 0.2",
        )

    def reads(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"] | None:
        return self.pulled(group, rewards) if self.beta > 0 else None

    def pulled(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"]:
        """The tokens whose divergence counts."""
        if self.kl_on == "all":
            return group.completion_mask
        return group.completion_mask & policy_gradient.accurate(rewards["accuracy"])[:, None]

    def advantages(self, scored: Scored, memory: Any = None) -> Float[Tensor, " g"]:
        reward = scored.total
        return policy_gradient.standardised(reward) if self.baseline == "std" else policy_gradient.centred(reward)

    def pull(self, scored: Scored) -> Float[Tensor, "g t"]:
        group, dtype = scored.group, scored.total.dtype
        pull = self.beta * self.pulled(group, scored.rewards).to(dtype)
        return pull * separate_means(group.completion_mask, group.answer_mask, dtype) if self.kl_mean == "separate" else pull

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        return clipped_loss(now, credit, rows, self.beta, self.epsilon)


@dataclass(frozen=True, kw_only=True)
class DrGRPO(GRPO):
    """GRPO of which no part is divided by a completion's own length or by a group's own spread.

    ``length`` is the constant that sums over tokens are divided by: in the paper the most tokens that a completion may have.
    Source: Liu et al. 2025 (2503.20783) sec. 3.2.
    """

    name: Literal["dr_grpo"] = "dr_grpo"
    beta: float = 0.0
    baseline: Literal["std", "none"] = "none"
    loss_agg_mode: policy_gradient.LossAggMode = "constant"
    reference: ReferenceUpdate | None = None


def clipped_loss(now: Tokens, credit: Credit, rows: Scored, beta: float, clip: float | None) -> Float[Tensor, "n t"]:
    """pull k3 - ratio A: the ratio to the policy that sampled where a clip needs it, else to the policy as it is."""
    old = now.logp.detach() if clip is None else sampler_logp(rows, "algorithm.clip")
    gain = policy_gradient.clipped_surrogate(policy_gradient.ratio(now.logp, old), credit.advantage, clip)
    if beta == 0:
        return -gain
    return credit.kl_weight * policy_gradient.k3(now.logp, known(rows.ref_logprobs, "reference")) - gain


def separate_means(mask: Bool[Tensor, "g t"], answer: Bool[Tensor, "g t"], dtype: torch.dtype) -> Float[Tensor, "g t"]:
    """Weights under which a mean over a completion's tokens is the mean over its reasoning plus that over its answer."""
    count = mask.sum(dim=1, keepdim=True).to(dtype)
    reasoning, answer = mask & ~answer, mask & answer
    weights = [part * count / part.sum(dim=1, keepdim=True).clamp(min=1) for part in (reasoning, answer)]
    return weights[0] + weights[1]
