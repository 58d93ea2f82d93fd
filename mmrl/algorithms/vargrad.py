"""The variance of the log-ratio as a loss: off-policy, without Z."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.algorithms.base import Source
from mmrl.algorithms.fdpg import credit_of
from mmrl.algorithms.target_matching import Aim, distances, reinforce, still
from mmrl.functional import policy_gradient
from mmrl.functional.targets import Factor, Tilt
from mmrl.types import Credit, Frozen, Group, Memory, Scored, Tokens, Totals, Update


@dataclass(frozen=True, slots=True)
class VarGrad:
    """minimise 1/G sum_g (log Z + log pi_g - log P_g)^2 with log Z = mean (log P - log pi), detached: trajectory balance.

        d_g  = log pi_g - log P_g
        grad = 2/G sum_g (d_g - mean d) grad log pi_g

    The minimum is pi = p whoever samples, as long as everything can be sampled; no ratio pi / q appears, so old completions may be
    used again. On-policy the expected gradient is 2 (G - 1) / G times that of KL(pi || p). Sources: Richter et al. 2020
    (2010.10436); Bartoldson et al. 2025 (2503.18929), trajectory balance with asynchrony, for which see ``updates_per_step``.
    """

    target: tuple[Factor, ...] = (Tilt(),)
    moments: Mapping[str, float] | None = None  # wanted averages of rewards, by name
    length: float = 1.0  # a constant that completions' sums over tokens are divided by
    reference: Update = Frozen()

    source: ClassVar[Source] = "policy"
    siblings: ClassVar[bool] = True
    needs_now: ClassVar[bool] = True
    needs_q: ClassVar[bool] = True  # what cannot be sampled is never balanced, and the metrics divide by q
    reuses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        still(self.reference, self.aim)
        if self.aim.hard:
            raise ValueError(
                "algorithm.target: expected mass everywhere, as log P is a residual; found a constraint. Give it a floor, or use "
                "a tilt"
            )
        if not self.length > 0:
            raise ValueError(f"algorithm.length: expected a number above 0, found {self.length}")

    @property
    def aim(self) -> Aim:
        return Aim(self.target, self.moments, "none", False, 1.0)

    @property
    def rewards(self) -> tuple[str, ...]:
        return self.aim.rewards

    @property
    def needs_base(self) -> bool:
        return self.aim.needs_base

    def reads(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"]:
        return group.mask

    def credit(self, scored: Scored, totals: Totals, memory: Memory) -> Credit:
        logs = self.aim.logs(scored, memory)
        policy_gradient.compare(logs.policy)
        return credit_of(-2 * residuals(logs.policy, logs.target), scored, totals, self.length)

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        return reinforce(now, credit)

    def report(self, scored: Scored, memory: Memory) -> Mapping[str, float]:
        logs = self.aim.logs(scored, memory)
        loss = float(vargrad(logs.policy, logs.target))
        return distances(logs, scored) | self.aim.fitted(memory) | {"vargrad/loss": loss}

    def start(self, base: Mapping[str, Mapping[str, Tensor]] | None) -> Memory:
        return self.aim.start(base)

    def notes(self, scored: Scored, memory: Memory) -> Mapping[str, Any]:
        return {}

    def remember(self, memory: Memory, notes: Sequence[Mapping[str, Any]]) -> Memory:
        return memory


def residuals(policy: Float[Tensor, " g"], target: Float[Tensor, " g"]) -> Float[Tensor, " g"]:
    """log pi - log P + log Z with log Z the group's mean of log P - log pi, detached."""
    difference = policy - target
    return difference - difference.mean().detach()


def vargrad(policy: Float[Tensor, " g"], target: Float[Tensor, " g"]) -> Float[Tensor, ""]:
    """The loss of a group, differentiable in log pi: the mean square of its residuals."""
    return residuals(policy, target).square().mean()
