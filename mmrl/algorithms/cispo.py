"""Clipped importance-sampling-weight policy optimisation."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import Algorithm, Clipped, Needs, check_positive, sampling_logprobs
from mmrl.functional import policy_gradient
from mmrl.types import Scored, Tokens, TokenWeights


@dataclass(frozen=True, kw_only=True)
class CISPO(Algorithm):
    """REINFORCE with a clipped importance weight, so that every token has a gradient.

        loss = - 1/(sum_g T_g) sum_g sum_t stopgrad(clip(ratio_gt, 1 - epsilon, 1 + epsilon_high)) A_g log pi_gt

    with ratio = pi / pi_sampled. PPO's clip removes the gradient of a token whose ratio is out of bounds, such as a rare one
    that starts a correction. A_g is GRPO's. Source: MiniMax 2025 (2506.13585) eq. 4-5. The paper sets no lower bound, and gives
    no number for the upper one; here weights are clipped at 5. Departure: tokens are counted over the whole update, not a group.
    """

    name: Literal["cispo"] = "cispo"
    epsilon: float | None = None  # weights are at least 1 - epsilon; none: there is no lower bound
    epsilon_high: float = 4.0  # weights are at most 1 + epsilon_high

    needs: ClassVar[Needs] = Needs(off_policy=True)
    loss_agg_mode: ClassVar[policy_gradient.LossAggMode] = "token-mean"

    def __post_init__(self) -> None:
        check_positive(epsilon_high=self.epsilon_high)
        if self.epsilon is not None and not 0 < self.epsilon <= 1:
            raise ValueError(f"algorithm.epsilon: expected a number in (0, 1] or none, found {self.epsilon}")

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the lowest and the highest weight."""
        return 0.0 if self.epsilon is None else 1 - self.epsilon, 1 + self.epsilon_high

    def ratio(self, policy: Tokens, rows: Scored) -> Float[Tensor, "n t"]:
        """Return pi / pi_sampled of each token, without gradient."""
        return policy_gradient.ratio(policy.logprobs.detach(), sampling_logprobs(rows, "algorithm.epsilon_high"))

    def loss(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Float[Tensor, "n t"]:
        return -self.ratio(policy, rows).clamp(*self.bounds) * weights.advantage * policy.logprobs

    def clipped(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Clipped | None:
        """Return the tokens whose weight is clipped; unlike PPO's clip, this goes by the ratio alone."""
        ratio, (low, high) = self.ratio(policy, rows), self.bounds
        return ratio < low, ratio > high
