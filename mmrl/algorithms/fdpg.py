"""Distributional policy gradient for any f-divergence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.algorithms.base import Source
from mmrl.algorithms.target_matching import OF_THE_GROUP, Aim, Logs, distances, reinforce, still
from mmrl.functional import policy_gradient
from mmrl.functional.divergences import Divergence, JensenShannon
from mmrl.functional.targets import Factor, Partition, Tilt
from mmrl.types import Credit, Frozen, Group, Memory, Scored, Tokens, Totals, Update


@dataclass(frozen=True, slots=True)
class FDPG:
    """minimise D_f(pi || p): REINFORCE with the pseudo-reward r = -f'(pi / p).

        r_gh = -f'(pi_h Z_g / P_h)          P = pi0 x factors, of whole completions; Z_g as completion g sees it
        A_g  = (pi_g / q_g) (r_gg - mean of the siblings' r_gh)
        loss = - 1/G sum_g A_g sum_t log pi_gt

    The siblings are judged by the Z of the completion that they are compared with: a sibling's own leave-one-out Z contains that
    completion, and so would a baseline made of it. q is who sampled, pi the policy as the update finds it, so that further
    updates of a step are corrected for. Source: Go et al. 2023 (2302.08215); leave-one-out baseline and cap as in alpha-DPG
    (Kruszewski et al. 2026, 2512.05962).
    Departures: f is not scaled (that paper's JS is twice ours, alpha-DPG's pseudo-reward is 1 - a times ours, and so is its cap:
    its 10 is our 10 / (1 - a)); Z is per prompt.

    Reverse KL is KL-regularised RL (times 1 / beta, with any Z); forward KL is DPG; alpha joins them. Which Z to choose: with small
    groups forward KL and its like want one that is independent of the samples, "leave_one_out" or better "offline";
    total variation is refused any but "offline" (facts: divergences.md 4.2).
    """

    divergence: Divergence = JensenShannon()
    target: tuple[Factor, ...] = (Tilt(),)
    moments: Mapping[str, float] | None = None  # wanted averages of rewards, by name
    z: Partition = "leave_one_out"
    bound_z: bool = False  # cut Z to what the target's bounds allow: at most 1 for a constraint
    forget: float = 1.0  # of a running Z, at each visit of its prompt
    baseline: policy_gradient.Baseline = "siblings"
    cap: float | None = None  # the most that a pseudo-reward counts
    ratio_cap: float | None = None  # the most that pi / q counts
    length: float = 1.0  # a constant that completions' sums over tokens are divided by
    reference: Update = Frozen()

    source: ClassVar[Source] = "policy"
    needs_now: ClassVar[bool] = True
    needs_q: ClassVar[bool] = True
    reuses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        still(self.reference, self.aim)
        refuse(self.divergence, self.aim)
        for name, value in (("cap", self.cap), ("ratio_cap", self.ratio_cap), ("length", self.length)):
            if value is not None and not value > 0:
                raise ValueError(f"algorithm.{name}: expected a number above 0, found {value}")
        if self.baseline == "group_std":
            raise ValueError(
                "algorithm.baseline: expected siblings, group or none; group_std gives each prompt a scale of its own, "
                "and what is then minimised is no divergence from the target (facts: divergences.md 4.3)"
            )

    @property
    def aim(self) -> Aim:
        return Aim(self.target, self.moments, self.z, self.bound_z, self.forget)

    @property
    def siblings(self) -> bool:
        return self.baseline != "none" or self.z in OF_THE_GROUP

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
        rewards = pseudo_rewards(self.divergence, logs, self.aim.log_z(scored, logs, memory), self.cap)
        worth = logs.ratio(self.ratio_cap) * advantages(rewards, self.baseline)
        return credit_of(worth, scored, totals, self.length)

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        return reinforce(now, credit)

    def report(self, scored: Scored, memory: Memory) -> Mapping[str, float]:
        logs = self.aim.logs(scored, memory)
        rewards = pseudo_rewards(self.divergence, logs, self.aim.log_z(scored, logs, memory), None).diagonal()
        capped = 0.0 if self.cap is None else float((rewards > self.cap).double().mean())
        return distances(logs, scored) | self.aim.fitted(memory) | {"fdpg/capped": capped}

    def start(self, base: Mapping[str, Mapping[str, Tensor]] | None) -> Memory:
        return self.aim.start(base)

    def notes(self, scored: Scored, memory: Memory) -> Mapping[str, Any]:
        return self.aim.notes(scored, memory)

    def remember(self, memory: Memory, notes: Sequence[Mapping[str, Any]]) -> Memory:
        return self.aim.remember(memory, notes)


def pseudo_rewards(
    divergence: Divergence, logs: Logs, log_z: Float[Tensor, " g"], cap: float | None
) -> Float[Tensor, "g g"]:
    """-f'(pi_h Z_g / P_h) of each completion h (column) by the Z that each completion g (row) sees; at most ``cap``.

    It is -f'(inf) where the target has no mass.
    """
    rewards = divergence.pseudo_reward((logs.policy - logs.target)[None, :] + log_z[:, None])
    return rewards if cap is None else rewards.clamp(max=cap)


def advantages(rewards: Float[Tensor, "g g"], baseline: policy_gradient.Baseline) -> Float[Tensor, " g"]:
    """Each completion's own reward minus the mean of its siblings', or of the whole group's, in its row.

    Exactly 0 where all are equal. Raises ValueError for a group of one, which has no siblings.
    """
    own = rewards.diagonal()
    if baseline == "none":
        return own
    policy_gradient.compare(own)
    count = len(own) - 1 if baseline == "siblings" else len(own)
    return (own[:, None] - rewards).sum(dim=1) / count


def credit_of(worth: Float[Tensor, " g"], scored: Scored, totals: Totals, length: float) -> Credit:
    """The same worth on every token of a completion, whose score is their sum: a mean over tokens would move the target."""
    mask, dtype = scored.group.mask, scored.now.logp.dtype
    spread = policy_gradient.per_token(worth.to(dtype), mask)
    return Credit(spread, torch.zeros_like(spread), policy_gradient.shares(mask, totals, "constant", dtype, length))


def refuse(divergence: Divergence, aim: Aim) -> None:
    """Refuse what has no finite gradient or not that of the divergence."""
    name = type(divergence).__name__
    if aim.hard and math.isinf(divergence.slope_at_infinity):
        raise ValueError(
            f"algorithm.divergence: {name} is infinite for a target that is 0 somewhere, as a constraint makes it. Use js, "
            "forward_kl or alpha below 1, or give the constraint a floor"
        )
    if aim.z in OF_THE_GROUP and math.isnan(divergence.curvature):
        raise ValueError(
            f"algorithm.z: {name} with a Z of the group, found {aim.z}: the sign of a noisy difference, uncorrelated with the "
            "gradient (facts: divergences.md 4.2). Use z: offline, or another divergence"
        )
    if aim.z == "none" and divergence.power is None:
        raise ValueError(
            f"algorithm.z: {name} depends on Z in more than scale, found none. Use leave_one_out, running or offline"
        )
