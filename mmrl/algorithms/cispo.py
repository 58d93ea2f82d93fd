"""Clipped importance-sampling-weight policy optimisation."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import Algorithm, Needs, check_positive, sampler_logp
from mmrl.functional import policy_gradient
from mmrl.types import Credit, Scored, Tokens


@dataclass(frozen=True, kw_only=True)
class CISPO(Algorithm):
    """REINFORCE with a cut importance weight, so that no token ever loses its gradient.

        loss = - 1/(sum_g T_g) sum_g sum_t stopgrad(clip(ratio_gt, 1 - low, 1 + high)) A_g log pi_gt,   ratio = pi / pi_sampled

    where PPO's clip silences a token whose ratio has left its bounds, such as a rare one that starts a correction. A_g is GRPO's.
    Source: MiniMax 2025 (2506.13585) eq. 4-5. The paper sets no lower bound, and gives no number for the upper one; here weights
    are cut at 5. Departure: tokens are counted over the whole update, not a group.
    """

    name: Literal["cispo"] = "cispo"
    epsilon: float | None = None  # weights are at least 1 - low; none: unbounded below
    epsilon_high: float = 4.0  # weights are at most 1 + high

    needs: ClassVar[Needs] = Needs(off_policy=True)
    loss_agg_mode: ClassVar[policy_gradient.LossAggMode] = "token"

    def __post_init__(self) -> None:
        check_positive(high=self.epsilon_high)
        if self.epsilon is not None and not 0 < self.epsilon <= 1:
            raise ValueError(f"algorithm.low: expected a number in (0, 1] or none, found {self.epsilon}")

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        ratio = policy_gradient.ratio(now.logp.detach(), sampler_logp(rows, "algorithm.high"))
        weight = ratio.clamp(0.0 if self.epsilon is None else 1 - self.epsilon, 1 + self.epsilon_high)
        return -weight * credit.advantage * now.logp
