"""Clipped importance-sampling-weight policy optimisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import Source
from mmrl.algorithms.grpo import check_high, sampled
from mmrl.functional import policy_gradient
from mmrl.types import Credit, Group, Scored, Tokens, Totals


@dataclass(frozen=True, slots=True)
class CISPO:
    """REINFORCE with a cut importance weight, so that no token ever loses its gradient.

        loss = - 1/(sum_g T_g) sum_g sum_t stopgrad(clip(ratio_gt, 1 - low, 1 + high)) A_g log pi_gt,   ratio = pi / pi_sampled

    where PPO's clip silences a token whose ratio has left its bounds, such as a rare one that starts a correction. A_g is GRPO's.
    Source: MiniMax 2025 (2506.13585) eq. 4-5. The paper sets no lower bound, and gives no number for the upper one; here weights
    are cut at 5. Departure: tokens are counted over the whole update, not a group.
    """

    low: float | None = None  # weights are at least 1 - low; none: unbounded below
    high: float = 4.0  # weights are at most 1 + high

    source: ClassVar[Source] = "policy"
    siblings: ClassVar[bool] = True
    rewards: ClassVar[tuple[str, ...]] = ()
    reference: ClassVar[None] = None
    reuses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_high(self.high)
        if self.low is not None and not 0 < self.low <= 1:
            raise ValueError(f"algorithm.low: expected a number in (0, 1] or none, found {self.low}")

    def reads(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> None:
        return None

    def credit(self, scored: Scored, totals: Totals) -> Credit:
        mask = scored.group.mask
        worth = policy_gradient.per_token(policy_gradient.standardised(scored.total), mask)
        return Credit(worth, torch.zeros_like(worth), policy_gradient.shares(mask, totals, "token", worth.dtype))

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        ratio = policy_gradient.ratio(now.logp.detach(), sampled(rows, "algorithm.high"))
        weight = ratio.clamp(0.0 if self.low is None else 1 - self.low, 1 + self.high)
        return -weight * credit.worth * now.logp

    def report(self, scored: Scored) -> Mapping[str, float]:
        return {}
