"""KL-regularised reinforcement learning, with the divergence in the reward or in the loss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.algorithms.base import Source
from mmrl.algorithms.grpo import check, check_length, sampled
from mmrl.algorithms.target_matching import Aim, distances
from mmrl.functional import policy_gradient
from mmrl.functional.targets import Tilt
from mmrl.types import Credit, Direction, Frozen, Group, Scored, Tokens, Totals, Update

Estimator = Literal["k1", "k2", "k3", "ratio_k3", "kl_policy_reference", "kl_reference_policy"]
EXACT = ("kl_policy_reference", "kl_reference_policy")
KS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "k1": policy_gradient.k1,
    "k2": policy_gradient.k2,
    "k3": policy_gradient.k3,
    "ratio_k3": policy_gradient.k3,
}


@dataclass(frozen=True, slots=True)
class RLKL:
    """maximise J(pi) = E_pi[R] - beta KL(pi || pi0), whose optimum is p*(o) = pi0(o) exp(R(o) / beta) / Z.

        grad J = E_pi[(R - beta log pi/pi0) grad log pi] = - beta grad KL(pi || p*)
        A_g    = R_g - beta k1_g - mean of the siblings' (R - beta k1),     loss = - 1/G sum_g A_g sum_t log pi_gt

    Source: Korbak, Perez, Buckley 2022 (2205.11275); with these settings it is RLOO (Ahmadian et al. 2024, 2402.14740) and beta
    times f-DPG's reverse KL. An estimator k of the divergence may stand in the reward, where it is not differentiated, or in the
    loss, where it is; what is then minimised in expectation, with d = log pi/pi0, k1 = d, k2 = d^2/2, k3 = exp(-d) - 1 + d
    (facts: divergences.md 4.4; tests/algorithms/test_rlkl.py enumerates each line):

        place   estimator            level      expected gradient of the divergence term
        reward  k1                   sequence   grad KL(pi || pi0)
        reward  k1                   to_go      the same, less noise: a token answers for itself and what follows
        reward  k1                   token      state-frozen ("local") KL(pi || pi0): what a token does to later ones is left out
        reward  k3                   sequence   grad KL(pi || pi0) - grad KL(pi0 || pi)
        loss    k1                   any        exactly 0: noise alone
        loss    k2                   sequence   grad KL(pi || pi0)
        loss    k2                   token      local KL(pi || pi0)
        loss    k3                   sequence   grad KL(pi0 || pi)
        loss    k3                   token      local KL(pi0 || pi): GRPO's
        loss    ratio_k3             sequence   grad KL(pi || pi0)
        loss    ratio_k3             token      local KL(pi || pi0) at the sampler's states (DeepSeek-V3.2, 2512.02556, eq. 7)
        loss    kl_policy_reference  token      local KL(pi || pi0), summed over the whole vocabulary: without noise in the token
        loss    kl_policy_reference  to_go      grad KL(pi || pi0): the local part as it is, what follows as k1 to_go has it
        loss    kl_reference_policy  token      local KL(pi0 || pi), summed over the whole vocabulary

    The lines hold for the gradient as a sum over tokens (``reduce: constant``; with ``length`` that many times less): a mean over
    a completion's own tokens (``sequence``) has another rest point than p*. ``ratio`` is for completions that another policy
    drew, as in the second update of a step: ``sequence`` is exact, ``token`` is PPO's, ``none`` takes the policy for the sampler.
    Log-ratios are cut to [-10, 10] in k3, of a token or of a sequence.
    """

    beta: float = 0.1  # weight of the divergence; the temperature of p*
    place: Literal["reward", "loss"] = "reward"
    estimator: Estimator = "k1"
    level: Literal["sequence", "to_go", "token"] = "sequence"  # what is estimated, and which tokens answer for it
    baseline: policy_gradient.Baseline = "siblings"
    ratio: Literal["none", "token", "sequence"] = (
        "none"  # the importance ratio of the reward's gradient, and of ratio_k3
    )
    clip: float | None = None  # of that ratio
    reduce: policy_gradient.Reduce = "constant"
    length: float = 1.0  # what a completion counts as where reduce is constant
    reference: Update | None = Frozen()

    source: ClassVar[Source] = "policy"
    rewards: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check(self.beta, self.clip)
        check_length(self.length)
        for problem in problems(self):
            raise ValueError(f"algorithm.{problem}")

    @property
    def siblings(self) -> bool:
        return self.baseline != "none"

    @property
    def reuses(self) -> bool:
        return self.ratio != "none"

    @property
    def needs_q(self) -> bool:
        return self.ratio == "sequence"

    @property
    def needs_now(self) -> bool:
        return self.beta > 0 and (self.place == "reward" or self.level == "to_go")

    @property
    def exact(self) -> Direction | None:
        return self.estimator if self.beta > 0 and self.estimator in EXACT else None

    def reads(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"] | None:
        return group.mask if self.beta > 0 else None

    def credit(self, scored: Scored, totals: Totals) -> Credit:
        mask, worth = scored.group.mask, self.worth(scored)
        pull = self.beta * mask.to(worth.dtype) if self.place == "loss" else torch.zeros_like(worth)
        return Credit(worth, pull, policy_gradient.shares(mask, totals, self.reduce, worth.dtype, self.length))

    def worth(self, scored: Scored) -> Float[Tensor, "g t"]:
        """What multiplies each token's score."""
        mask, reward = scored.group.mask, scored.total
        if not self.needs_now:
            return policy_gradient.per_token(policy_gradient.advantage(reward, self.baseline), mask)
        if self.level == "sequence":
            cost = KS[self.estimator](scored.now.logp.sum(dim=1), scored.reference.sum(dim=1))
            return policy_gradient.per_token(policy_gradient.advantage(reward - self.beta * cost, self.baseline), mask)
        costs = self.beta * self.costs(scored) * mask
        if self.level == "token":
            return (policy_gradient.advantage(reward, self.baseline)[:, None] - costs) * mask
        all_told = policy_gradient.advantage(reward - costs.sum(dim=1), self.baseline)[:, None]
        past = costs.sum(dim=1, keepdim=True) - policy_gradient.to_go(costs)
        return (
            all_told + past + (costs if self.exact else 0)
        ) * mask  # an exact cost is differentiated where it stands

    def costs(self, scored: Scored) -> Float[Tensor, "g t"]:
        """The divergence at each token as the policy is, without gradient."""
        if self.exact:
            return scored.now.divergence
        return KS[self.estimator](scored.now.logp, scored.reference)

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        gain = policy_gradient.surrogate(self.ratios(now, rows), credit.worth, self.clip)
        if self.place == "reward" or rows.reference is None:
            return -gain
        return credit.pull * self.divergence(now, rows) - gain

    def ratios(self, now: Tokens, rows: Scored) -> Float[Tensor, "n t"]:
        """pi over what sampled, 1 in value where the policy is taken for it."""
        before = self.before(now, rows)
        if self.ratio == "sequence":
            return policy_gradient.sequence_ratio(now.logp, before, rows.group.mask)
        return policy_gradient.ratio(now.logp, before)

    def before(self, now: Tokens, rows: Scored) -> Float[Tensor, "n t"]:
        """Log-probabilities of what sampled."""
        return now.logp.detach() if self.ratio == "none" else sampled(rows, "algorithm.ratio")

    def divergence(self, now: Tokens, rows: Scored) -> Float[Tensor, "n t"]:
        """The divergence in the loss, by tokens; a sequence's in equal parts on its tokens."""
        if self.exact:
            return now.divergence
        k, corrected, mask = KS[self.estimator], self.estimator == "ratio_k3", rows.group.mask
        if self.level == "token":
            divergence = k(now.logp, rows.reference)
            return policy_gradient.ratio(now.logp, self.before(now, rows)) * divergence if corrected else divergence
        divergence = k(now.logp.sum(dim=1), rows.reference.sum(dim=1))
        weight = (now.logp - self.before(now, rows)).mul(mask).sum(dim=1).exp() if corrected else 1.0
        return policy_gradient.spread(weight * divergence, mask)

    def report(self, scored: Scored) -> Mapping[str, float]:
        """How far the policy is from p* and from the reference, where it was read before it learns."""
        if scored.now is None or self.beta == 0:
            return {}
        target = Aim((Tilt(self.beta),), moments=None, z="none", bound=False, forget=1.0)
        return distances(target.logs(scored, {}), scored)


def problems(a: RLKL):
    """What is wrong with settings that are each in order."""
    if a.beta == 0 and a.reference is not None:
        yield (
            "beta: expected above 0, because the optimum is pi0 exp(R / beta) / Z; found 0. To learn from rewards alone say so "
            "with reference: null"
        )
    if a.beta > 0 and a.reference is None:
        yield f"reference: expected one, as beta is {a.beta}; found none. Set it, or beta: 0"
    if a.place == "reward" and a.estimator not in ("k1", "k3"):
        yield (
            f"estimator: expected k1 or k3 in the reward, which is not differentiated; found {a.estimator}. "
            "Set place: loss, or k1"
        )
    if a.place == "loss" and a.level == "to_go" and a.estimator != "kl_policy_reference":
        yield f"level: expected sequence or token for {a.estimator} in the loss, found to_go; in the reward k1 has it"
    if a.exact and a.level == "sequence":
        yield f"level: expected token or to_go for {a.estimator}, which is exact at each token; found sequence"
    if a.needs_now and a.level != "sequence" and a.baseline == "group_std":
        yield (
            f"baseline: expected siblings, group or none where tokens answer for different costs (level: {a.level}); "
            "found group_std"
        )
    if a.clip is not None and a.ratio == "none":
        yield f"clip: expected ratio: token or sequence with a clip of {a.clip}, as a ratio of 1 needs none; found none"
