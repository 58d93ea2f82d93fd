"""GRPO-CARE: consistency-aware reward enhancement. Facts about the paper and its code: docs/facts/grpo_care.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.algorithms.base import Algorithm, Clipped, Needs, check_epsilon, check_penalty, known
from mmrl.algorithms.grpo import clipped_loss, ratio
from mmrl.functional import policy_gradient
from mmrl.functional.care import Consistency, care_bonus, care_eligible, care_likelihood
from mmrl.types import EMA, Group, ReferenceUpdate, Scored, Tokens, TokenWeights


@dataclass(frozen=True, kw_only=True)
class CARE(Algorithm):
    """GRPO whose KL penalty is replaced by a bonus for answers that follow from the reasoning.

    A slow copy of the policy gives the likelihood of the answer after question and reasoning. A right completion earns more if
    its answer is likelier than the answers of the other right completions of the group:

        S       = {g : acc_g > accuracy_threshold and acc_g >= mean acc}               the relatively accurate
        p_g     = mean over answer tokens of pi_phi(o_gt | x, o_g<t), at most max_likelihood    geometric (code), arithmetic (paper)
        bonus_g = bonus acc_g [g in S and p_g >= mean_S p - margin]
        A_g     = standardised(R_g + bonus_g),  loss as GRPO's with beta = 0

    Source: Chen et al. 2025 (2506.16141) sec. 4, algorithm 1, and the code released with it (TencentARC/GRPO-CARE b0628fc).
    Departures: ``epsilon`` is an option; an answer that cannot be found is not eligible (there it counts as certain);
    comparisons allow 1e-6 for rounding; no 1e-6 is added to the number of answer tokens; statistics are of one group even
    if a batch holds several; answer tokens are located by character offsets. The released scripts set the margin to 0 or 0.01
    for SEED-Bench-R1 and to 0.01 for general video.

    The ablations of its table 3: ``consistency: dense`` is DenseCons, bonus_g = bonus acc_g p_g, without comparison (its weight and
    largest likelihood are not published); ``beta`` above 0 adds the KL to the reference. GRPO has the ablations without a bonus.
    """

    name: Literal["care"] = "care"
    bonus: float = 0.5  # lambda; times the accuracy
    max_likelihood: float = 0.95  # likelihoods above this count as this
    margin: float = 0.0  # how far below the mean of the accurate siblings still counts as consistent
    accuracy_threshold: float = (
        policy_gradient.ACCURACY_THRESHOLD
    )  # accuracy at or below which no completion is eligible
    likelihood: policy_gradient.Likelihood = "geometric"
    # a bonus for the likelier siblings, or one as large as the likelihood
    consistency: Consistency = "relative"
    beta: float = 0.0  # weight of the KL to the reference; the paper removes it
    epsilon: float | None = None  # the ratio is clipped to 1 +- epsilon; none: it is 1
    baseline: policy_gradient.Baseline = "group_mean_std"
    loss_agg_mode: policy_gradient.LossAggMode = "seq-mean-token-mean"
    reference: ReferenceUpdate = EMA()

    def __post_init__(self) -> None:
        check_penalty(self.beta, self.reference)
        check_epsilon(self.epsilon)
        if not 0 < self.max_likelihood <= 1:
            raise ValueError(f"algorithm.max_likelihood: expected a probability in (0, 1], found {self.max_likelihood}")
        if self.bonus < 0 or self.margin < 0:
            raise ValueError(f"algorithm: expected bonus and margin of 0 or more, found {self.bonus} and {self.margin}")

    @property
    def needs(self) -> Needs:
        return Needs(
            rewards=("accuracy",),
            group_baseline=self.baseline != "none",
            reference=self.reference,
            off_policy=self.epsilon is not None,
            off_policy_setting="algorithm.epsilon, for example 0.2",
        )

    def reference_mask(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"]:
        """Return a mask of the answers that can earn the bonus; of all tokens if the loss has a KL."""
        return (
            group.completion_mask
            if self.beta > 0
            else group.answer_mask & self.eligible(group, rewards["accuracy"])[:, None]
        )

    def eligible(self, group: Group, accuracy: Float[Tensor, " g"]) -> Bool[Tensor, " g"]:
        """Return the rows that can earn the bonus: those that are accurate and whose answer can be found."""
        return care_eligible(group.answer_mask, accuracy, self.accuracy_threshold, self.consistency)

    def advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, " g"]:
        return policy_gradient.group_advantages(scored.total + self.bonuses(scored), self.baseline)

    def kl_weights(self, scored: Scored) -> Float[Tensor, "g t"]:
        return self.beta * scored.group.completion_mask.to(scored.total.dtype)

    def bonuses(self, scored: Scored) -> Float[Tensor, " g"]:
        """Return the reward that each completion earns for consistency; 0 for all of a group in which no row can earn it."""
        return care_bonus(
            known(scored.ref_logprobs, "reference"),
            scored.group.answer_mask,
            scored.rewards["accuracy"],
            bonus=self.bonus,
            margin=self.margin,
            max_likelihood=self.max_likelihood,
            accuracy_threshold=self.accuracy_threshold,
            likelihood=self.likelihood,
            consistency=self.consistency,
        )

    def likelihoods(self, scored: Scored) -> Float[Tensor, " g"]:
        """Return the likelihood of each answer under the reference, [g]; it has no meaning for rows outside ``reference_mask``."""
        logprobs = known(scored.ref_logprobs, "reference")
        return care_likelihood(logprobs, scored.group.answer_mask, self.max_likelihood, self.likelihood)

    def loss(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Float[Tensor, "n t"]:
        return clipped_loss(policy, weights, rows, self.beta, self.epsilon)

    def clipped(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Clipped | None:
        return policy_gradient.clipped_tokens(ratio(policy, rows, self.epsilon), weights.advantage, self.epsilon)

    def metrics(self, scored: Scored, state: Any = None) -> Mapping[str, float]:
        chosen = self.eligible(scored.group, scored.rewards["accuracy"])
        numbers = {
            "care/bonus": self.bonuses(scored).mean().item(),
            "care/eligible": chosen.float().mean().item(),
        }
        if chosen.any():
            numbers["care/likelihood"] = self.likelihoods(scored)[chosen].mean().item()
        return numbers
