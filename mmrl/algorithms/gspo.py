"""Group sequence policy optimisation."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import Algorithm, Clipped, Needs, check_epsilon, check_positive, sampling_logprobs
from mmrl.functional import policy_gradient
from mmrl.types import Scored, Tokens, TokenWeights


@dataclass(frozen=True, kw_only=True)
class GSPO(Algorithm):
    """GRPO with one ratio for each completion instead of each token, because a completion has one reward.

        s_g  = (pi(o_g) / pi_sampled(o_g))^(1/T_g)                   the geometric mean of its tokens' ratios
        loss = - 1/G sum_g min(s_g A_g, clip(s_g, 1 - epsilon, 1 + epsilon_high) A_g),   A_g = (R_g - mean R) / (std R + 1e-4)

    A completion is clipped as a whole, and far earlier than a token would be. Source: Zheng et al. 2025 (2507.18071) eq. 5-7, with
    the bounds of sec. 5.1. The code follows eq. 14-16 (GSPO-token), whose value and gradient are the same if all tokens of a
    completion have one advantage.
    """

    name: Literal["gspo"] = "gspo"
    epsilon: float = 3e-4
    epsilon_high: float = 4e-4

    needs: ClassVar[Needs] = Needs(off_policy=True)

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        check_positive(epsilon_high=self.epsilon_high)

    def ratio(self, policy: Tokens, rows: Scored) -> Float[Tensor, "n t"]:
        """Return the completion's ratio, on each of its tokens."""
        old = sampling_logprobs(rows, "algorithm.epsilon")
        return policy_gradient.sequence_ratio(policy.logprobs, old, rows.group.completion_mask, mean=True)

    def loss(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Float[Tensor, "n t"]:
        ratio = self.ratio(policy, rows)
        return -policy_gradient.clipped_surrogate(ratio, weights.advantage, self.epsilon, self.epsilon_high)

    def clipped(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Clipped | None:
        ratio = self.ratio(policy, rows)
        return policy_gradient.clipped_tokens(ratio, weights.advantage, self.epsilon, self.epsilon_high)
