"""Distributional policy gradient: forward KL without the policy in the weight. GDC and CDPG are its settings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import Needs, check_positive
from mmrl.algorithms.target_matching import (
    OF_THE_GROUP,
    Observation,
    SequenceLogprobs,
    TargetKL,
    TargetMatching,
    TargetState,
)
from mmrl.functional.divergences import exp
from mmrl.functional.targets import AnyFactor, Constraint, ZEstimate, kl_target
from mmrl.types import AdaptiveProposal, Scored


@dataclass(frozen=True, kw_only=True)
class DPG(TargetMatching):
    """minimise KL(p || pi) with samples of any q: grad = - E_q[P / (Z q) grad log pi].

        A_g  = P_g / (Z q_g) - pi_g / q_g                                              the second term with ``baseline: z``
        loss = - 1/G sum_g A_g sum_t log pi_gt

    Sources: Parshakova, Andreoli, Dymetman 2019 (1912.08517); the baseline: Korbak et al. 2022 (2206.00761).
    Departures: Z is estimated unless ``z: none``, which weighs prompts by their Z; with the baseline both terms are divided by
    the same Z; moments are fitted by damped Newton, per prompt (``mmrl.functional.targets.fit``); a group without any mass has
    advantages of 0, while the baseline alone would lower all of its completions.
    """

    target: tuple[AnyFactor, ...] = (Constraint(),)
    """The factors that the reference is multiplied with."""
    moments: Mapping[str, float] | None = None
    """Wanted averages of rewards, by name; null for none."""
    z: ZEstimate = "leave_one_out"
    """How the target's normaliser Z is estimated."""
    z_decay: float = 1.0
    """The weight of earlier visits of a prompt in a running Z; 1 keeps all of them."""
    baseline: Literal["z", "none"] = "z"
    """z subtracts the ratio pi / q, whose mean is that of the weight; none subtracts nothing."""
    max_weight: float | None = None
    """The weight P / (Z q) at which higher ones are clamped; null for no limit."""
    max_ratio: float | None = None
    """The ratio pi / q at which higher ones are clamped; null for no limit."""
    proposal: AdaptiveProposal | None = None
    """A copy of the policy that samples in its place; null samples from the policy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(max_weight=self.max_weight, max_ratio=self.max_ratio)
        if self.z == "none" and self.baseline == "z":
            raise ValueError(
                "algorithm.z: expected an estimate, as the baseline is of weights divided by Z; found none. Set baseline: none"
            )

    @property
    def needs(self) -> Needs:
        return replace(super().needs, group_baseline=self.z in OF_THE_GROUP, proposal=self.proposal)

    def advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, " g"]:
        logs = self.logs(scored, state)
        weight = weights(logs, self.log_z(scored, logs, state), self.max_weight)
        if self.baseline == "z":
            weight = weight - logs.ratio(self.max_ratio)
        return weight * bool((logs.target > -math.inf).any())

    def observe(self, scored: Scored, state: TargetState) -> Observation:
        """Return the running Z's part and, if the group reached the target, the KL of policy and proposal from it."""
        visit, logs = super().observe(scored, state), self.logs(scored, state)
        if self.proposal is None or not visit.reached:
            return visit
        both = [float(kl_target(logs.target, other, logs.sampler)) for other in (logs.policy, logs.sampler)]
        return replace(visit, kl=TargetKL(*both))

    def update_state(self, state: TargetState, observations: Sequence[Observation]) -> TargetState:
        both = [visit.kl for visit in observations if visit.kl is not None]
        kl = TargetKL(*torch.tensor(both, dtype=torch.float64).mean(dim=0).tolist()) if both else None
        return replace(super().update_state(state, observations), kl=kl)

    def sync_proposal(self, state: TargetState) -> bool:
        """Return True if the policy is closer to the target than the proposal, KL(p || pi) < KL(p || q)."""
        return state.kl is not None and state.kl.policy < state.kl.proposal


@dataclass(frozen=True, kw_only=True)
class GDC(DPG):
    """Generative distributional control: the target is the nearest to pi0 among the distributions with the wanted ``moments``.

    q is a copy of the policy; the policy replaces it when it is closer to p, by KL(p || pi) < KL(p || q) on the same samples.
    Source: Khalifa, Elsahar, Dymetman 2021 (2012.11635).
    """

    name: Literal["gdc"] = "gdc"
    target: tuple[AnyFactor, ...] = ()
    moments: Mapping[str, float] | None = field(default_factory=lambda: {"accuracy": 0.9})
    proposal: AdaptiveProposal | None = AdaptiveProposal()


@dataclass(frozen=True, kw_only=True)
class CDPG(DPG):
    """DPG on-policy, with one Z for each prompt from the group's own samples, without a baseline.

    Source: Korbak et al. 2022 (2112.00791).
    """

    name: Literal["cdpg"] = "cdpg"
    z: ZEstimate = "plug_in"
    baseline: Literal["z", "none"] = "none"


def weights(logs: SequenceLogprobs, log_z: Float[Tensor, " g"], most: float | None) -> Float[Tensor, " g"]:
    """Return p / q of each completion, at most ``most``."""
    weight = exp(logs.weight - log_z)
    return weight if most is None else weight.clamp(max=most)
