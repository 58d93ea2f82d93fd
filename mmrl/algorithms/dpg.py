"""Distributional policy gradient: forward KL without the policy in the weight. GDC and CDPG are its settings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.algorithms.base import Source
from mmrl.algorithms.fdpg import credit_of
from mmrl.algorithms.target_matching import OF_THE_GROUP, Aim, Logs, distances, reinforce, still
from mmrl.functional.divergences import exp
from mmrl.functional.targets import Constraint, Factor, Partition, kl_target
from mmrl.types import Adaptive, Credit, Frozen, Group, Memory, Scored, Tokens, Totals, Update


@dataclass(frozen=True, slots=True)
class DPG:
    """minimise KL(p || pi) with samples of any q: grad = - E_q[P / (Z q) grad log pi].

        A_g  = P_g / (Z q_g) - pi_g / q_g                                              the second term with ``baseline``
        loss = - 1/G sum_g A_g sum_t log pi_gt

    gdc: the exponential family with wanted ``moments``, q a copy of the policy that is replaced when the policy is closer to p, by
    KL(p || pi) < KL(p || q) on the same samples. Sources: Parshakova, Andreoli, Dymetman 2019 (1912.08517); Khalifa, Elsahar,
    Dymetman 2021 (2012.11635); the baseline: Korbak et al. 2022 (2206.00761).
    cdpg: on-policy, one Z a prompt from the group's own samples, no baseline. Source: Korbak et al. 2022 (2112.00791).
    Departures: Z is never left to the learning rate unless ``z: none`` asks for it, which weighs prompts by their Z; with
    the baseline both terms are divided by the same Z; moments are fitted by damped Newton, per prompt (``mmrl.functional.targets.fit``);
    a group without any mass is worth nothing, where the baseline alone would push all of it down.
    """

    target: tuple[Factor, ...] = (Constraint(),)
    moments: Mapping[str, float] | None = None  # wanted averages of rewards, by name
    z: Partition = "leave_one_out"
    forget: float = 1.0  # of a running Z, at each visit of its prompt
    baseline: bool = True
    cap: float | None = None  # the most that P / (Z q) counts
    ratio_cap: float | None = None  # the most that pi / q counts
    length: float = 1.0  # a constant that completions' sums over tokens are divided by
    proposal: Adaptive | None = None  # who samples; none: the policy
    reference: Update = Frozen()

    source: ClassVar[Source] = "policy"
    needs_now: ClassVar[bool] = True
    needs_q: ClassVar[bool] = True
    reuses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        still(self.reference, self.aim)
        for name, value in (("cap", self.cap), ("ratio_cap", self.ratio_cap), ("length", self.length)):
            if value is not None and not value > 0:
                raise ValueError(f"algorithm.{name}: expected a number above 0, found {value}")
        if self.z == "none" and self.baseline:
            raise ValueError(
                "algorithm.z: expected an estimate, as the baseline is of weights divided by Z; found none"
            )

    @property
    def aim(self) -> Aim:
        return Aim(self.target, self.moments, self.z, False, self.forget)

    @property
    def siblings(self) -> bool:
        return self.z in OF_THE_GROUP

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
        weight = weights(logs, self.aim.log_z(scored, logs, memory), self.cap)
        if self.baseline:
            weight = weight - logs.ratio(self.ratio_cap)
        return credit_of(weight * bool((logs.target > -math.inf).any()), scored, totals, self.length)

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        return reinforce(now, credit)

    def report(self, scored: Scored, memory: Memory) -> Mapping[str, float]:
        return distances(self.aim.logs(scored, memory), scored) | self.aim.fitted(memory)

    def start(self, base: Mapping[str, Mapping[str, Tensor]] | None) -> Memory:
        return self.aim.start(base)

    def notes(self, scored: Scored, memory: Memory) -> Mapping[str, Any]:
        """The running Z's, and how far policy and proposal are from the target by this group, if it says anything."""
        notes, logs = self.aim.notes(scored, memory), self.aim.logs(scored, memory)
        if self.proposal is None or not bool((logs.target > -math.inf).any()):
            return notes
        both = [float(kl_target(logs.target, other, logs.sampler)) for other in (logs.policy, logs.sampler)]
        return notes | {"kl": both}

    def remember(self, memory: Memory, notes: Sequence[Mapping[str, Any]]) -> Memory:
        new = self.aim.remember(memory, notes)
        new.pop("kl", None)  # of the newest samples only: two estimates on the same samples differ less by chance
        both = [note["kl"] for note in notes if "kl" in note]
        return new | {"kl": torch.tensor(both, dtype=torch.float64).mean(dim=0)} if both else new

    def adopt(self, memory: Memory) -> bool:
        """Whether the policy is closer to the target than the proposal, KL(p || pi) < KL(p || q)."""
        return "kl" in memory and bool(memory["kl"][0] < memory["kl"][1])


def weights(logs: Logs, log_z: Float[Tensor, " g"], cap: float | None) -> Float[Tensor, " g"]:
    """p / q, at most ``cap``."""
    weight = exp(logs.weight - log_z)
    return weight if cap is None else weight.clamp(max=cap)
