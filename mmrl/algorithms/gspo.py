"""Group sequence policy optimisation."""

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
class GSPO:
    """GRPO whose ratio is the completion's and not the token's, because the reward is.

        s_g  = (pi(o_g) / pi_sampled(o_g))^(1/T_g)                            the geometric mean of its tokens' ratios
        loss = - 1/G sum_g min(s_g A_g, clip(s_g, 1 - clip, 1 + high) A_g),   A_g = (R_g - mean R) / (std R + 1e-4)

    A completion is clipped as a whole, and far earlier than a token would be. Source: Zheng et al. 2025 (2507.18071) eq. 5-7, with
    the bounds of sec. 5.1; written by tokens as its eq. 14-16 (GSPO-token), whose value and gradient are the same where all tokens
    of a completion are worth the same.
    """

    clip: float = 3e-4
    high: float = 4e-4

    source: ClassVar[Source] = "policy"
    siblings: ClassVar[bool] = True
    rewards: ClassVar[tuple[str, ...]] = ()
    reference: ClassVar[None] = None
    reuses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(0.0, self.clip)
        check_high(self.high)

    def reads(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> None:
        return None

    def credit(self, scored: Scored, totals: Totals) -> Credit:
        mask = scored.group.mask
        worth = policy_gradient.per_token(policy_gradient.standardised(scored.total), mask)
        return Credit(worth, torch.zeros_like(worth), policy_gradient.shares(mask, totals, "sequence", worth.dtype))

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        ratio = policy_gradient.sequence_ratio(now.logp, sampled(rows, "algorithm.clip"), rows.group.mask, mean=True)
        return -policy_gradient.surrogate(ratio, credit.worth, self.clip, self.high)

    def report(self, scored: Scored) -> Mapping[str, float]:
        return {}
