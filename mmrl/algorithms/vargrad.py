"""The variance of the log-ratio as a loss: off-policy, without Z."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.target_matching import TargetMatching
from mmrl.functional import policy_gradient
from mmrl.functional.targets import AnyFactor, Tilt
from mmrl.types import Scored


@dataclass(frozen=True, kw_only=True)
class VarGrad(TargetMatching):
    """minimise 1/G sum_g (log Z + log pi_g - log P_g)^2 with log Z = mean (log P - log pi), detached: trajectory balance.

        d_g  = log pi_g - log P_g
        grad = 2/G sum_g (d_g - mean d) grad log pi_g

    The minimum is pi = p whoever samples, as long as everything can be sampled; no ratio pi / q appears, so old completions may be
    used again. On-policy the expected gradient is 2 (G - 1) / G times that of KL(pi || p). Sources: Richter et al. 2020
    (2010.10436); Bartoldson et al. 2025 (2503.18929), trajectory balance with asynchrony, for which see ``updates_per_step``.
    """

    name: Literal["vargrad"] = "vargrad"
    target: tuple[AnyFactor, ...] = (Tilt(),)
    moments: Mapping[str, float] | None = None  # wanted averages of rewards, by name

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hard:
            raise ValueError(
                "algorithm.target: expected mass everywhere, as log P is a residual; found a constraint. Give it a floor, or use "
                "a tilt"
            )

    def advantages(self, scored: Scored, memory: Any = None) -> Float[Tensor, " g"]:
        logs = self.logs(scored, memory)
        policy_gradient.require_siblings(logs.policy)
        return -2 * residuals(logs.policy, logs.target)

    def report(self, scored: Scored, memory: Any = None) -> Mapping[str, float]:
        logs = self.logs(scored, memory)
        return {**super().report(scored, memory), "vargrad/loss": float(vargrad(logs.policy, logs.target))}


def residuals(policy: Float[Tensor, " g"], target: Float[Tensor, " g"]) -> Float[Tensor, " g"]:
    """log pi - log P + log Z with log Z the group's mean of log P - log pi, detached."""
    difference = policy - target
    return difference - difference.mean().detach()


def vargrad(policy: Float[Tensor, " g"], target: Float[Tensor, " g"]) -> Float[Tensor, ""]:
    """The loss of a group, differentiable in log pi: the mean square of its residuals."""
    return residuals(policy, target).square().mean()
