"""GRPO-CARE: consistency-aware reward enhancement."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.algorithms.base import Algorithm, Needs, check_clip, check_penalty, known
from mmrl.algorithms.grpo import clipped_loss
from mmrl.functional import policy_gradient
from mmrl.functional.care import Consistency, care_bonus, care_eligible, care_likelihood
from mmrl.types import EMA, Credit, Group, Scored, Tokens, Update


@dataclass(frozen=True, kw_only=True)
class CARE(Algorithm):
    """GRPO whose KL penalty is replaced by a bonus for answers that follow from the reasoning.

    A slow copy of the policy reads question and reasoning and says how likely it finds the answer. A completion that is
    right, and whose answer is likelier than those of its right siblings, earns more:

        S       = {g : acc_g > floor and acc_g >= mean acc}                            the relatively accurate
        p_g     = mean over answer tokens of pi_phi(o_gt | x, o_g<t), at most cap      geometric (code), arithmetic (paper)
        bonus_g = bonus acc_g [g in S and p_g >= mean_S p - margin]
        A_g     = standardised(R_g + bonus_g),  loss as GRPO's with beta = 0

    Source: Chen et al. 2025 (2506.16141) sec. 4, algorithm 1, and the code released with it (TencentARC/GRPO-CARE b0628fc).
    Departures: ``clip`` is an option; an answer that cannot be found is not eligible (there it counts as certain);
    comparisons allow 1e-6 for rounding; no 1e-6 is added to the number of answer tokens; statistics are of one group even
    where a batch holds several; answer tokens are found by character offsets. The margin is 0 in the script for
    SEED-Bench-R1 and 0.01 in those for general video.

    The ablations of its table 3: ``consistency: dense`` is DenseCons, bonus_g = bonus acc_g p_g, without comparison (its weight and
    cap are not published); ``beta`` above 0 keeps the divergence to the reference beside the bonus. Those without a bonus are
    GRPO's.
    """

    name: Literal["care"] = "care"
    bonus: float = 0.5  # lambda; times the accuracy
    cap: float = 0.95  # likelihoods above this count as this
    margin: float = 0.0  # how far below the mean of the accurate siblings still counts as consistent
    floor: float = policy_gradient.ACCURACY_FLOOR  # accuracy at or below which no completion is eligible
    likelihood: policy_gradient.Likelihood = "geometric"
    # a bonus for the likelier siblings, or one as large as the likelihood
    consistency: Consistency = "relative"
    beta: float = 0.0  # weight of the divergence to the reference; the paper removes it
    clip: float | None = None
    standardise: Literal["std", "none"] = "std"
    reduce: policy_gradient.Reduce = "sequence"
    reference: Update = EMA()

    def __post_init__(self) -> None:
        check_penalty(self.beta, self.reference)
        check_clip(self.clip)
        if not 0 < self.cap <= 1:
            raise ValueError(f"algorithm.cap: expected a probability in (0, 1], found {self.cap}")
        if self.bonus < 0 or self.margin < 0:
            raise ValueError(f"algorithm: expected bonus and margin of 0 or more, found {self.bonus} and {self.margin}")

    @property
    def needs(self) -> Needs:
        return Needs(
            rewards=("accuracy",),
            reference=self.reference,
            off_policy=self.clip is not None,
            off_policy_setting="algorithm.clip, for example 0.2",
        )

    def reads(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"]:
        """The answers of the rows that can earn the bonus; everything where a divergence is kept."""
        return group.mask if self.beta > 0 else group.answer & self.eligible(group, rewards["accuracy"])[:, None]

    def eligible(self, group: Group, accuracy: Float[Tensor, " g"]) -> Bool[Tensor, " g"]:
        """The rows that can earn the bonus: right enough, and with an answer that can be found."""
        return care_eligible(group.answer, accuracy, self.floor, self.consistency)

    def advantages(self, scored: Scored, memory: Any = None) -> Float[Tensor, " g"]:
        reward = scored.total + self.bonuses(scored)
        return policy_gradient.standardised(reward) if self.standardise == "std" else policy_gradient.centred(reward)

    def pull(self, scored: Scored) -> Float[Tensor, "g t"]:
        return self.beta * scored.group.mask.to(scored.total.dtype)

    def bonuses(self, scored: Scored) -> Float[Tensor, " g"]:
        """The reward that each completion earns for consistency; 0 for all of a group in which no row can earn it."""
        return care_bonus(
            known(scored.reference, "reference"),
            scored.group.answer,
            scored.rewards["accuracy"],
            bonus=self.bonus,
            margin=self.margin,
            max_likelihood=self.cap,
            accuracy_threshold=self.floor,
            likelihood=self.likelihood,
            consistency=self.consistency,
        )

    def likelihoods(self, scored: Scored) -> Float[Tensor, " g"]:
        """How likely the reference finds each answer, at most cap; meaningless for rows that it did not read."""
        reference = known(scored.reference, "reference")
        return care_likelihood(reference, scored.group.answer, self.cap, self.likelihood)

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        return clipped_loss(now, credit, rows, self.beta, self.clip)

    def report(self, scored: Scored, memory: Any = None) -> Mapping[str, float]:
        chosen = self.eligible(scored.group, scored.rewards["accuracy"])
        numbers = {
            "care/bonus": self.bonuses(scored).mean().item(),
            "care/eligible": chosen.float().mean().item(),
        }
        if chosen.any():
            numbers["care/likelihood"] = self.likelihoods(scored)[chosen].mean().item()
        return numbers
