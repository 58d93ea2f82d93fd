"""Decoupled clip and dynamic sampling policy optimisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import Algorithm, Needs, check_epsilon, check_positive, sampler_logp
from mmrl.functional import policy_gradient
from mmrl.types import Credit, Group, Scored, Tokens


@dataclass(frozen=True, kw_only=True)
class DAPO(Algorithm):
    """GRPO with four changes: rare tokens may grow more, groups must be of use, tokens count alike, length is a slope.

        R_g  = reward_g + overlong(T_g)                                       0, then linearly to -1 over the last ``buffer`` tokens
        A_g  = (R_g - mean R) / (std R + 1e-4)
        loss = - 1/(sum_g T_g) sum_g sum_t min(ratio_gt A_g, clip(ratio_gt, 1 - clip, 1 + high) A_g),   ratio = pi / pi_sampled

    and no divergence. Batches are drawn until a whole one of groups is there whose accuracies differ (eq. 11: some right, some
    wrong), or ``draws`` are used up, when it is learnt from what there is. Source: Yu et al. 2025 (2503.14476) eq. 8-13.
    Departures: the paper draws without a bound; tokens are counted over the whole update, not a group; without ``limit`` lengths
    cost nothing. Give ``limit`` as rollout.decoding.max_new_tokens.
    """

    name: Literal["dapo"] = "dapo"
    epsilon: float = 0.2
    epsilon_high: float = 0.28
    limit: int | None = None  # the most tokens of a completion; none: lengths cost nothing
    overlong_buffer: int = 16  # the last so many tokens before the limit cost
    max_gen_batches: int = 8  # the most batches drawn for a step

    loss_agg_mode: ClassVar[policy_gradient.LossAggMode] = "token"

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        check_positive(high=self.epsilon_high)
        if self.max_gen_batches < 1:
            raise ValueError(f"algorithm.draws: expected 1 or more, found {self.max_gen_batches}")
        if self.limit is not None and not 0 < self.overlong_buffer <= self.limit:
            raise ValueError(
                f"algorithm.buffer: expected 1 to {self.limit} tokens, the limit of a completion; found {self.overlong_buffer}"
            )

    @property
    def needs(self) -> Needs:
        return Needs(rewards=("accuracy",), off_policy=True, max_gen_batches=self.max_gen_batches, max_new_tokens=self.limit)

    def useful(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> bool:
        """True where some completions are more right than others."""
        return bool(rewards["accuracy"].max() > rewards["accuracy"].min())

    def advantages(self, scored: Scored, memory: Any = None) -> Float[Tensor, " g"]:
        return policy_gradient.standardised(scored.total + self.lengths(scored))

    def lengths(self, scored: Scored) -> Float[Tensor, " g"]:
        """The (negative) reward for each completion's length."""
        lengths = scored.group.completion_mask.sum(dim=1).to(scored.total.dtype)
        if self.limit is None:
            return torch.zeros_like(lengths)
        return policy_gradient.overlong_penalty(lengths, self.limit, self.overlong_buffer)

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        ratio = policy_gradient.ratio(now.logp, sampler_logp(rows, "algorithm.clip"))
        return -policy_gradient.clipped_surrogate(ratio, credit.advantage, self.epsilon, self.epsilon_high)

    def report(self, scored: Scored, memory: Any = None) -> Mapping[str, float]:
        return {"dapo/overlong": self.lengths(scored).mean().item()}
