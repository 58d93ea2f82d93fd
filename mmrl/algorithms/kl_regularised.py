"""KL-regularised reinforcement learning, with the divergence in the reward or in the loss. Facts: docs/facts/divergences.md."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import (
    Algorithm,
    Clipped,
    Needs,
    check_epsilon,
    check_loss_scale_factor,
    check_penalty,
    known,
    sampling_logprobs,
)
from mmrl.algorithms.target_matching import sequence_logprobs, target_diagnostics
from mmrl.functional import policy_gradient
from mmrl.types import Direction, Frozen, ReferenceUpdate, Scored, Tokens, TokenWeights

Level = Literal["sequence", "to_go", "token"]  # the unit of the estimate, and the tokens that it is charged to
ESTIMATORS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "k1": policy_gradient.k1,
    "k2": policy_gradient.k2,
    "k3": policy_gradient.k3,
    "ratio_k3": policy_gradient.k3,
}
LEVELS_IN_LOSS = dict.fromkeys(ESTIMATORS, ("sequence", "token")) | {
    "kl_policy_reference": ("token", "to_go"),
    "kl_reference_policy": ("token",),
}


@dataclass(frozen=True, kw_only=True)
class KLRegularised(Algorithm):
    """maximise J(pi) = E_pi[R] - beta KL(pi || pi0), whose optimum is p*(o) = pi0(o) exp(R(o) / beta) / Z.

        grad J = E_pi[(R - beta log pi/pi0) grad log pi] = - beta grad KL(pi || p*)

    The base of ``KLInReward`` and ``KLInLoss``. Their tables say where the divergence is estimated and what is minimised in
    expectation, with d = log pi/pi0, k1 = d, k2 = d^2/2, k3 = exp(-d) - 1 + d (tests/algorithms/test_kl_regularised.py enumerates
    each line of their tables). The lines hold for the gradient as a sum over tokens (``loss_agg_mode:
    seq-mean-token-sum-norm``; with ``loss_scale_factor`` that many times less): a mean over a completion's own tokens
    (``seq-mean-token-mean``) has another fixed point than p*. ``ratio`` is for
    completions that another policy drew, as in the second update of a step: ``sequence`` is exact, ``token`` is PPO's, ``none``
    takes the policy for the sampler. Log-ratios are clamped to [-10, 10] in k3, of a token or of a sequence.
    Source: Korbak, Perez, Buckley 2022 (2205.11275).
    """

    beta: float = 0.1  # weight of the KL; the temperature of p*
    baseline: policy_gradient.Baseline = "leave_one_out"
    ratio: Literal["none", "token", "sequence"] = "none"  # the importance ratio of the reward, and of ratio_k3
    epsilon: float | None = None  # that ratio is clipped to 1 +- epsilon
    loss_agg_mode: policy_gradient.LossAggMode = "seq-mean-token-sum-norm"
    loss_scale_factor: float = 1.0  # divides the loss of seq-mean-token-sum-norm
    reference: ReferenceUpdate | None = Frozen()

    def __post_init__(self) -> None:
        check_penalty(self.beta, self.reference)
        check_epsilon(self.epsilon)
        check_loss_scale_factor(self.loss_scale_factor)
        if self.beta == 0 and self.reference is not None:
            raise ValueError(
                "algorithm.beta: expected above 0, because the optimum is pi0 exp(R / beta) / Z; found 0. To learn from rewards "
                "alone say so with reference: null"
            )
        if self.epsilon is not None and self.ratio == "none":
            raise ValueError(
                f"algorithm.epsilon: expected ratio: token or sequence with an epsilon of {self.epsilon}, as a ratio of 1 needs none; "
                "found none"
            )
        if self.tokens_differ and self.baseline == "group_mean_std":
            raise ValueError(
                "algorithm.baseline: expected leave_one_out, group_mean or none where tokens answer for different costs; found group_mean_std. "
                "Set level: sequence, or another baseline"
            )

    @property
    def tokens_differ(self) -> bool:
        """Return True if the tokens of a completion have different advantages."""
        return False

    @property
    def needs(self) -> Needs:
        return Needs(
            reference=self.reference,
            group_baseline=self.baseline != "none",
            sampling_logprobs=self.ratio == "sequence",
            off_policy=self.ratio != "none",
            off_policy_setting="algorithm.ratio, for example token",
        )

    def advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, " g"]:
        """Return the advantages from the reward alone, without the KL."""
        return policy_gradient.group_advantages(scored.total, self.baseline)

    def loss(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Float[Tensor, "n t"]:
        return -policy_gradient.clipped_surrogate(self.ratios(policy, rows), weights.advantage, self.epsilon)

    def clipped(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Clipped | None:
        return policy_gradient.clipped_tokens(self.ratios(policy, rows), weights.advantage, self.epsilon)

    def ratios(self, policy: Tokens, rows: Scored) -> Float[Tensor, "n t"]:
        """Return the importance ratio of each token, or of its completion."""
        old = self.old_logprobs(policy, rows)
        if self.ratio == "sequence":
            return policy_gradient.sequence_ratio(policy.logprobs, old, rows.group.completion_mask)
        return policy_gradient.ratio(policy.logprobs, old)

    def old_logprobs(self, policy: Tokens, rows: Scored) -> Float[Tensor, "n t"]:
        """Return the sampler's log-probabilities; the policy's own if ``ratio`` is none, as the policy then counts as the sampler."""
        return policy.logprobs.detach() if self.ratio == "none" else sampling_logprobs(rows, "algorithm.ratio")

    def metrics(self, scored: Scored, state: Any = None) -> Mapping[str, float]:
        """Return the policy's distances from p* and from the reference, if ``scored`` has its log-probabilities."""
        if self.beta == 0 or scored.old_policy is None:
            return {}
        logs = sequence_logprobs(scored, known(scored.ref_logprobs, "reference"), scored.total.double() / self.beta)
        return target_diagnostics(logs, scored)


@dataclass(frozen=True, kw_only=True)
class KLInReward(KLRegularised):
    """KL-regularised RL that subtracts an estimate of the KL from the reward, where it is not differentiated.

        A_g    = R_g - beta k1_g - mean of the other completions' (R - beta k1),     loss = - 1/G sum_g A_g sum_t log pi_gt

        estimator  level      expected gradient of the KL term
        k1         sequence   grad KL(pi || pi0)
        k1         to_go      the same, less noise: each token is charged its own KL and that of later tokens
        k1         token      state-frozen ("local") KL(pi || pi0), without a token's effect on later ones
        k3         sequence   grad KL(pi || pi0) - grad KL(pi0 || pi)

    There is no k2: without differentiation it estimates no divergence. Beta times f-DPG's reverse KL is the same step.
    """

    name: Literal["kl_in_reward"] = "kl_in_reward"
    estimator: Literal["k1", "k3"] = "k1"
    level: Level = "sequence"

    @property
    def tokens_differ(self) -> bool:
        return self.beta > 0 and self.level != "sequence"

    @property
    def needs(self) -> Needs:
        return replace(super().needs, old_logprobs=self.beta > 0)

    def token_advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, "g t"]:
        """Return the advantage of the reward minus the KL, of a completion as a whole or token by token."""
        mask, reward, estimate = scored.group.completion_mask, scored.total, ESTIMATORS[self.estimator]
        if self.beta == 0:
            return super().token_advantages(scored)
        logprobs, prior = known(scored.old_policy, "old_logprobs").logprobs, known(scored.ref_logprobs, "reference")
        if self.level == "sequence":
            cost = estimate(logprobs.sum(dim=1), prior.sum(dim=1))
            return policy_gradient.per_token(
                policy_gradient.group_advantages(reward - self.beta * cost, self.baseline), mask
            )
        costs = self.beta * estimate(logprobs, prior) * mask
        if self.level == "token":
            return (policy_gradient.group_advantages(reward, self.baseline)[:, None] - costs) * mask
        return advantages_to_go(reward, costs, self.baseline) * mask


@dataclass(frozen=True, kw_only=True)
class RLOO(KLInReward):
    """REINFORCE with the mean reward of the other completions as baseline. Source: Ahmadian et al. 2024 (2402.14740)."""

    name: Literal["rloo"] = "rloo"
    beta: float = 0.05


@dataclass(frozen=True, kw_only=True)
class KLInLoss(KLRegularised):
    """KL-regularised RL that adds an estimate of the KL to the loss, where it is differentiated.

    loss = - 1/G sum_g A_g sum_t log pi_gt + beta k_g,     A_g = R_g - mean of the other completions' R

    estimator            level      expected gradient of the KL term
    k1                   any        exactly 0: noise alone
    k2                   sequence   grad KL(pi || pi0)
    k2                   token      local KL(pi || pi0), without a token's effect on later ones
    k3                   sequence   grad KL(pi0 || pi)
    k3                   token      local KL(pi0 || pi): GRPO's
    ratio_k3             sequence   grad KL(pi || pi0)
    ratio_k3             token      local KL(pi || pi0) at the sampler's states (DeepSeek-V3.2, 2512.02556, eq. 7)
    kl_policy_reference  token      local KL(pi || pi0), summed over the whole vocabulary: without noise in the token
    kl_policy_reference  to_go      grad KL(pi || pi0): the local part in the loss, the later tokens in the advantage
    kl_reference_policy  token      local KL(pi0 || pi), summed over the whole vocabulary
    """

    name: Literal["kl_in_loss"] = "kl_in_loss"
    estimator: Literal["k1", "k2", "k3", "ratio_k3", "kl_policy_reference", "kl_reference_policy"] = "k2"
    level: Level = "sequence"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level not in LEVELS_IN_LOSS[self.estimator]:
            expected = " or ".join(LEVELS_IN_LOSS[self.estimator])
            raise ValueError(
                f"algorithm.level: expected {expected} for {self.estimator} in the loss, found {self.level}"
            )

    @property
    def tokens_differ(self) -> bool:
        return self.beta > 0 and self.level == "to_go"

    @property
    def full_vocabulary_kl(self) -> Direction | None:
        """Return the direction of the KL that is summed over the whole vocabulary; None if none is."""
        if self.beta > 0 and (self.estimator == "kl_policy_reference" or self.estimator == "kl_reference_policy"):
            return self.estimator
        return None

    @property
    def needs(self) -> Needs:
        return replace(super().needs, full_vocabulary_kl=self.full_vocabulary_kl, old_logprobs=self.tokens_differ)

    def kl_weights(self, scored: Scored) -> Float[Tensor, "g t"]:
        return self.beta * scored.group.completion_mask.to(scored.total.dtype)

    def token_advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, "g t"]:
        """Return the advantage of the reward; with ``level: to_go`` minus the KL of later tokens, as a token's own is in the loss."""
        if not self.tokens_differ:
            return super().token_advantages(scored)
        mask = scored.group.completion_mask
        divergence = known(known(scored.old_policy, "old_logprobs").divergence, "full_vocabulary_kl")
        costs = self.beta * divergence * mask
        return (advantages_to_go(scored.total, costs, self.baseline) + costs) * mask

    def loss(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Float[Tensor, "n t"]:
        loss = super().loss(policy, weights, rows)
        return loss if rows.ref_logprobs is None else weights.kl_weight * self.divergence(policy, rows) + loss

    def divergence(self, policy: Tokens, rows: Scored) -> Float[Tensor, "n t"]:
        """Return the KL of each token; the KL of a sequence is divided equally among its tokens."""
        if self.full_vocabulary_kl is not None:
            return known(policy.divergence, "full_vocabulary_kl")
        prior = known(rows.ref_logprobs, "reference")
        estimate, corrected, mask = ESTIMATORS[self.estimator], self.estimator == "ratio_k3", rows.group.completion_mask
        if self.level == "token":
            divergence = estimate(policy.logprobs, prior)
            return (
                policy_gradient.ratio(policy.logprobs, self.old_logprobs(policy, rows)) * divergence
                if corrected
                else divergence
            )
        divergence = estimate(policy.logprobs.sum(dim=1), prior.sum(dim=1))
        weight = (policy.logprobs - self.old_logprobs(policy, rows)).mul(mask).sum(dim=1).exp() if corrected else 1.0
        return policy_gradient.spread(weight * divergence, mask)


def advantages_to_go(
    reward: Float[Tensor, " g"], costs: Float[Tensor, "g t"], baseline: policy_gradient.Baseline
) -> Float[Tensor, "g t"]:
    """Return the advantage of each token: the costs of earlier tokens do not count."""
    whole = policy_gradient.group_advantages(reward - costs.sum(dim=1), baseline)[:, None]
    past = costs.sum(dim=1, keepdim=True) - policy_gradient.to_go(costs)
    return whole + past
