"""The variance of the log-ratio as a loss, off-policy and without Z: VarGrad and group variance policy optimisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import sampling_logprobs
from mmrl.algorithms.target_matching import TargetMatching
from mmrl.functional import policy_gradient
from mmrl.functional.targets import AnyFactor, Tilt
from mmrl.types import ReferenceUpdate, Scored


@dataclass(frozen=True, kw_only=True)
class VarGrad(TargetMatching):
    """minimise 1/G sum_g (log Z + log pi_g - log P_g)^2 with log Z = mean (log P - log pi), detached: trajectory balance.

        d_g  = log pi_g - log P_g
        grad = 2/G sum_g (d_g - mean d) grad log pi_g

    The minimum is pi = p for every sampler that can draw all completions; no ratio pi / q appears, so old completions may be
    used again. On-policy the expected gradient is 2 (G - 1) / G times that of KL(pi || p). Sources: Richter et al. 2020
    (2010.10436); Bartoldson et al. 2025 (2503.18929), trajectory balance with asynchrony; see ``mini_batches_per_step``.
    """

    name: Literal["vargrad"] = "vargrad"
    target: tuple[AnyFactor, ...] = (Tilt(),)
    moments: Mapping[str, float] | None = None  # wanted averages of rewards, by name

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.has_zero_support:
            raise ValueError(
                "algorithm.target: expected mass everywhere, as log P is a residual; found a constraint. Give it a floor, or use "
                "a tilt"
            )

    def advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, " g"]:
        logs = self.logs(scored, state)
        policy_gradient.require_two_or_more(logs.policy)
        return -2 * residuals(logs.policy, logs.target)

    def metrics(self, scored: Scored, state: Any = None) -> Mapping[str, float]:
        logs = self.logs(scored, state)
        return {**super().metrics(scored, state), "vargrad/loss": float(vargrad(logs.policy, logs.target))}


@dataclass(frozen=True, kw_only=True)
class GVPO(TargetMatching):
    """minimise 1/2 1/(G - 1) sum_g [(R_g - mean R) - (r_g - mean r)]^2 with the implicit reward R = beta log pi / pi'.

        e_g  = R_g - r_g - mean (R - r)
        grad = beta / (G - 1) sum_g e_g grad log pi_g

    The minimum is pi' exp(r / beta) / Z for every sampler; Z cancels in the mean. pi' is the reference, or the policy that
    sampled; then each step starts where the last one ended. e is beta times VarGrad's residual. Source: Zhang et al. 2025
    (2504.19599); the released code has pi' = sampler and beta 0.1.
    """

    name: Literal["gvpo"] = "gvpo"
    beta: float = 0.1  # temperature of the target
    target_policy: Literal["reference", "sampler"] = "sampler"  # pi'
    reference: ReferenceUpdate | None = None

    @property
    def target(self) -> tuple[AnyFactor, ...]:
        return (Tilt(self.beta),)

    def check_reference(self) -> None:
        """Raise ValueError for an unused reference, and for a missing one."""
        if self.target_policy == "reference":
            super().check_reference()
        elif self.reference is not None:
            raise ValueError(
                "algorithm.reference: expected none where target_policy is sampler; set target_policy: reference to use it"
            )

    def prior(self, scored: Scored) -> Float[Tensor, "g t"]:
        """Return the log-probabilities of the tokens under pi'."""
        return (
            super().prior(scored)
            if self.target_policy == "reference"
            else sampling_logprobs(scored, "algorithm.target_policy")
        )

    def advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, " g"]:
        logs = self.logs(scored, state)
        surplus = self.beta * (logs.policy - logs.prior) - scored.total.double()
        return -self.beta * policy_gradient.leave_one_out(surplus)

    def metrics(self, scored: Scored, state: Any = None) -> Mapping[str, float]:
        logs = self.logs(scored, state)
        loss = gvpo(logs.policy, logs.prior, scored.total.double(), self.beta)
        return {**super().metrics(scored, state), "gvpo/loss": float(loss)}


def residuals(policy: Float[Tensor, " g"], target: Float[Tensor, " g"]) -> Float[Tensor, " g"]:
    """Return log pi - log P + log Z with log Z the group's mean of log P - log pi, detached."""
    difference = policy - target
    return difference - difference.mean().detach()


def vargrad(policy: Float[Tensor, " g"], target: Float[Tensor, " g"]) -> Float[Tensor, ""]:
    """Return the loss of a group, differentiable in log pi: the mean square of its residuals."""
    return residuals(policy, target).square().mean()


def gvpo(
    policy: Float[Tensor, " g"], prior: Float[Tensor, " g"], reward: Float[Tensor, " g"], beta: float
) -> Float[Tensor, ""]:
    """Return the loss of a group, differentiable in log pi."""
    surplus = beta * (policy - prior) - reward
    return (surplus - surplus.mean()).square().sum() / 2 / (len(surplus) - 1)
