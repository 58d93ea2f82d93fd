"""Distributional policy gradient for any f-divergence."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import Needs, check_positive
from mmrl.algorithms.target_matching import OF_THE_GROUP, SequenceLogprobs, TargetMatching
from mmrl.functional import policy_gradient
from mmrl.functional.divergences import Alpha, AnyDivergence, JensenShannon
from mmrl.functional.targets import AnyFactor, Constraint, Tilt, ZEstimate
from mmrl.types import Scored


@dataclass(frozen=True, kw_only=True)
class FDPG(TargetMatching):
    """minimise D_f(pi || p): REINFORCE with the pseudo-reward r = -f'(pi / p).

        r_gh = -f'(pi_h Z_g / P_h)          P = pi0 x factors, of whole completions; Z_g is the estimate for completion g
        A_g  = (pi_g / q_g) (r_gg - mean of the other completions' r_gh)
        loss = - 1/G sum_g A_g sum_t log pi_gt

    The pseudo-rewards of the other completions use Z_g, too: their own leave-one-out Z contains completion g, and so would a
    baseline made of it. q is the policy that sampled, pi the policy before the update, so that the ratio corrects further updates
    of a step. Source: Go et al. 2023 (2302.08215); leave-one-out baseline and largest pseudo-reward as in alpha-DPG
    (Kruszewski et al. 2026, 2512.05962).
    Departures: f is not scaled (that paper's JS is twice ours; alpha-DPG's pseudo-reward and its limit are 1 - a times ours:
    its 10 is our 10 / (1 - a)); Z is per prompt.

    Reverse KL is KL-regularised RL (times 1 / beta, with any Z); forward KL is DPG; alpha joins them. The choice of Z: with small
    groups forward KL and similar divergences need a Z that is independent of the samples, "leave_one_out" or better "offline".
    Total variation takes "offline" alone, because with another Z its reward is the sign of a noisy difference.
    """

    name: Literal["fdpg"] = "fdpg"
    divergence: AnyDivergence = JensenShannon()
    """The f-divergence of the policy from the target."""
    target: tuple[AnyFactor, ...] = (Tilt(),)
    """The factors that the reference is multiplied with."""
    moments: Mapping[str, float] | None = None
    """Wanted averages of rewards, by name; null for none."""
    z: ZEstimate = "leave_one_out"
    """How the target's normaliser Z is estimated."""
    clamp_log_z: bool = False
    """Clamp Z to what the target's bounds allow, such as at most 1 for a constraint."""
    z_decay: float = 1.0
    """The weight of earlier visits of a prompt in a running Z; 1 keeps all of them."""
    baseline: policy_gradient.Baseline = "leave_one_out"
    """What a pseudo-reward is compared with to give the advantage."""
    max_pseudo_reward: float | None = None
    """The pseudo-reward at which higher ones are clamped; null for no limit."""
    max_ratio: float | None = None
    """The ratio pi / q at which higher ones are clamped; null for no limit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(max_pseudo_reward=self.max_pseudo_reward, max_ratio=self.max_ratio)
        self.check_divergence()
        if self.baseline == "group_mean_std":
            raise ValueError(
                "algorithm.baseline: expected leave_one_out, group_mean or none; group_mean_std gives each prompt a scale of its own, "
                "and what is then minimised is no divergence from the target"
            )

    def check_divergence(self) -> None:
        """Raise ValueError for a divergence without a finite gradient, or whose gradient the chosen Z does not give."""
        name = type(self.divergence).__name__
        if self.has_zero_support and math.isinf(self.divergence.slope_at_infinity):
            raise ValueError(
                f"algorithm.divergence: {name} is infinite for a target that is 0 somewhere, as a constraint makes it. Use js, "
                "forward_kl or alpha below 1, or give the constraint a floor"
            )
        if self.z in OF_THE_GROUP and math.isnan(self.divergence.curvature):
            raise ValueError(
                f"algorithm.z: {name} with a Z of the group, found {self.z}: the sign of a noisy difference, uncorrelated with "
                "the gradient. Use z: offline, or another divergence"
            )
        if self.z == "none" and self.divergence.power is None:
            raise ValueError(
                f"algorithm.z: {name} depends on Z in more than scale, found none. Use leave_one_out, running or offline"
            )

    @property
    def needs(self) -> Needs:
        return replace(super().needs, group_baseline=self.baseline != "none" or self.z in OF_THE_GROUP)

    def advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, " g"]:
        logs = self.logs(scored, state)
        rewards = pseudo_rewards(self.divergence, logs, self.log_z(scored, logs, state), self.max_pseudo_reward)
        return logs.ratio(self.max_ratio) * against_baseline(rewards, self.baseline)

    def metrics(self, scored: Scored, state: Any = None) -> Mapping[str, float]:
        logs = self.logs(scored, state)
        rewards = pseudo_rewards(self.divergence, logs, self.log_z(scored, logs, state), None).diagonal()
        capped = 0.0 if self.max_pseudo_reward is None else float((rewards > self.max_pseudo_reward).double().mean())
        return {**super().metrics(scored, state), "fdpg/capped": capped}


@dataclass(frozen=True, kw_only=True)
class AlphaDPG(FDPG):
    """The alpha family on pi0 restricted to completions that a verifier accepts: alpha near 0 covers, near 1 is precise.

    Source: Kruszewski et al. 2026 (2512.05962). Their limit of 10 is on 1 - a times this pseudo-reward.
    """

    name: Literal["alpha_dpg"] = "alpha_dpg"
    divergence: AnyDivergence = Alpha(0.75)
    target: tuple[AnyFactor, ...] = (Constraint(),)
    z: ZEstimate = "plug_in"
    clamp_log_z: bool = True
    max_pseudo_reward: float | None = 40.0


def pseudo_rewards(
    divergence: AnyDivergence, logs: SequenceLogprobs, log_z: Float[Tensor, " g"], most: float | None
) -> Float[Tensor, "g g"]:
    """Return -f'(pi_h Z_g / P_h) in row g and column h, at most ``most``; Z_g is the estimate for completion g.

    It is -f'(inf) where the target has no mass.
    """
    rewards = divergence.pseudo_reward((logs.policy - logs.target)[None, :] + log_z[:, None])
    return rewards if most is None else rewards.clamp(max=most)


def against_baseline(rewards: Float[Tensor, "g g"], baseline: policy_gradient.Baseline) -> Float[Tensor, " g"]:
    """Return each completion's own reward minus the mean of the other completions, or of the whole group, in its row.

    It is exactly 0 if all are equal. Raises ValueError for a group of one, unless ``baseline`` is none.
    """
    own = rewards.diagonal()
    if baseline == "none":
        return own
    policy_gradient.require_group(own)
    count = len(own) - 1 if baseline == "leave_one_out" else len(own)
    return (own[:, None] - rewards).sum(dim=1) / count
