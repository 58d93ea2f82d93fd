"""Decoupled clip and dynamic sampling policy optimisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import Algorithm, Clipped, Needs, check_epsilon, check_positive, known, sampling_logprobs
from mmrl.functional import policy_gradient
from mmrl.types import Group, Scored, Tokens, TokenWeights


@dataclass(frozen=True, kw_only=True)
class DAPO(Algorithm):
    """GRPO with four changes: a higher upper clip, groups without signal are drawn again, a mean over tokens, a length penalty.

        R_g  = reward_g + overlong(T_g)                     0, then linearly to -1 over the last ``overlong_buffer`` tokens
        A_g  = (R_g - mean R) / (std R + 1e-4)
        loss = - 1/(sum_g T_g) sum_g sum_t min(ratio_gt A_g, clip(ratio_gt, 1 - epsilon, 1 + epsilon_high) A_g)

    with ratio = pi / pi_sampled, and without a KL. The step draws batches until one batch of groups has different accuracies within
    each group (eq. 11: some right, some wrong). After ``max_gen_batches`` it learns from the groups that it has.
    Source: Yu et al. 2025 (2503.14476) eq. 8-13. Departures: the paper draws without a limit; tokens are counted over the whole
    update, not over a group; without ``overlong_buffer`` length has no penalty. The longest completion is the rollout's,
    ``rollout.decoding.max_new_tokens``.
    """

    name: Literal["dapo"] = "dapo"
    epsilon: float = 0.2
    epsilon_high: float = 0.28
    overlong_buffer: int | None = (
        None  # the last so many tokens before the longest completion cost; none: lengths cost nothing
    )
    max_gen_batches: int = 8  # the most batches that are drawn for a step

    loss_agg_mode: ClassVar[policy_gradient.LossAggMode] = "token-mean"

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        check_positive(epsilon_high=self.epsilon_high, max_gen_batches=self.max_gen_batches)
        check_positive(overlong_buffer=self.overlong_buffer)

    @property
    def needs(self) -> Needs:
        return Needs(
            rewards=("accuracy",),
            off_policy=True,
            max_gen_batches=self.max_gen_batches,
            min_new_tokens=self.overlong_buffer or 0,
        )

    def keep_group(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> bool:
        """Return True if some completions are more accurate than others."""
        return bool(rewards["accuracy"].max() > rewards["accuracy"].min())

    def advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, " g"]:
        return policy_gradient.standardised(scored.total + self.overlong(scored))

    def overlong(self, scored: Scored) -> Float[Tensor, " g"]:
        """Return the (negative) reward for the length of each completion."""
        lengths = scored.group.completion_mask.sum(dim=1).to(scored.total.dtype)
        if self.overlong_buffer is None:
            return torch.zeros_like(lengths)
        longest = known(scored.group.max_new_tokens, "source: policy")
        return policy_gradient.overlong_penalty(lengths, longest, self.overlong_buffer)

    def ratio(self, policy: Tokens, rows: Scored) -> Float[Tensor, "n t"]:
        """Return pi / pi_sampled of each token."""
        return policy_gradient.ratio(policy.logprobs, sampling_logprobs(rows, "algorithm.epsilon"))

    def loss(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Float[Tensor, "n t"]:
        ratio = self.ratio(policy, rows)
        return -policy_gradient.clipped_surrogate(ratio, weights.advantage, self.epsilon, self.epsilon_high)

    def clipped(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Clipped | None:
        ratio = self.ratio(policy, rows)
        return policy_gradient.clipped_tokens(ratio, weights.advantage, self.epsilon, self.epsilon_high)

    def metrics(self, scored: Scored, state: Any = None) -> Mapping[str, float]:
        return {"dapo/overlong": self.overlong(scored).mean().item()}
