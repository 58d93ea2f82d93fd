"""Decoupled clip and dynamic sampling policy optimisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import Source
from mmrl.algorithms.grpo import check, check_high, sampled
from mmrl.functional import policy_gradient
from mmrl.types import Credit, Group, Scored, Tokens, Totals


@dataclass(frozen=True, slots=True)
class DAPO:
    """GRPO with four changes: rare tokens may grow more, groups must be of use, tokens count alike, length is a slope.

        R_g  = reward_g + overlong(T_g)                                       0, then linearly to -1 over the last ``buffer`` tokens
        A_g  = (R_g - mean R) / (std R + 1e-4)
        loss = - 1/(sum_g T_g) sum_g sum_t min(ratio_gt A_g, clip(ratio_gt, 1 - clip, 1 + high) A_g),   ratio = pi / pi_sampled

    and no divergence. Batches are drawn until a whole one of groups is there whose accuracies differ (eq. 11: some right, some
    wrong), or ``draws`` are used up, when it is learnt from what there is. Source: Yu et al. 2025 (2503.14476) eq. 8-13.
    Departures: the paper draws without a bound; tokens are counted over the whole update, not a group; without ``limit`` lengths
    cost nothing. Give ``limit`` as rollout.decoding.max_new_tokens.
    """

    clip: float = 0.2
    high: float = 0.28
    limit: int | None = None  # the most tokens of a completion; none: lengths cost nothing
    buffer: int = 16  # the last so many tokens before the limit cost
    draws: int = 8  # the most batches drawn for a step

    source: ClassVar[Source] = "policy"
    siblings: ClassVar[bool] = True
    rewards: ClassVar[tuple[str, ...]] = ("accuracy",)
    reference: ClassVar[None] = None
    reuses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(0.0, self.clip)
        check_high(self.high)
        if self.draws < 1:
            raise ValueError(f"algorithm.draws: expected 1 or more, found {self.draws}")
        if self.limit is not None and not 0 < self.buffer <= self.limit:
            raise ValueError(
                f"algorithm.buffer: expected 1 to {self.limit} tokens, the limit of a completion; found {self.buffer}"
            )

    def reads(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> None:
        return None

    def useful(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> bool:
        """Whether some completions are more right than others."""
        return bool(rewards["accuracy"].max() > rewards["accuracy"].min())

    def credit(self, scored: Scored, totals: Totals) -> Credit:
        mask, reward = scored.group.mask, scored.total + self.lengths(scored)
        worth = policy_gradient.per_token(policy_gradient.standardised(reward), mask)
        return Credit(worth, torch.zeros_like(worth), policy_gradient.shares(mask, totals, "token", worth.dtype))

    def lengths(self, scored: Scored) -> Float[Tensor, " g"]:
        """What the completions' lengths cost."""
        lengths = scored.group.mask.sum(dim=1).to(scored.total.dtype)
        return (
            torch.zeros_like(lengths)
            if self.limit is None
            else policy_gradient.overlong(lengths, self.limit, self.buffer)
        )

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        ratio = policy_gradient.ratio(now.logp, sampled(rows, "algorithm.clip"))
        return -policy_gradient.surrogate(ratio, credit.worth, self.clip, self.high)

    def report(self, scored: Scored) -> Mapping[str, float]:
        return {"dapo/overlong": self.lengths(scored).mean().item()}
