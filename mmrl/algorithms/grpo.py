"""Group relative policy optimisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Bool, Float
from torch import Tensor

from mmrl import ops
from mmrl.algorithms.base import Source
from mmrl.types import Credit, Frozen, Group, Scored, Tokens, Totals, Update


@dataclass(frozen=True, slots=True)
class GRPO:
    """A completion is worth as much more than its siblings as its reward is.

        A_g  = (R_g - mean R) / (std R + 1e-4)                                         standardise: std, unbiased
        loss = - 1/G sum_g 1/T_g sum_t [ratio_gt A_g - beta k3_gt]                     reduce: sequence

    with ratio = pi / stopgrad(pi), which is 1 in value, or pi / pi_sampled cut to 1 +- clip where ``clip`` is given.
    ``beta: 0`` needs no reference and loads none. Source: Shao et al. 2024 (2402.03300) eq. 3-4; without clip as in the
    released trainers of Video-R1 and GRPO-CARE. Departures: a group's rewards are its own even where a batch holds several.
    """

    beta: float = 0.04  # weight of the divergence to the reference
    clip: float | None = None
    standardise: Literal["std", "none"] = "std"
    reduce: ops.Reduce = "sequence"
    reference: Update | None = Frozen()

    source: ClassVar[Source] = "policy"
    siblings: ClassVar[bool] = True
    rewards: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check(self.beta, self.clip)
        if self.beta > 0 and self.reference is None:
            raise ValueError(
                f"algorithm.reference: expected one, as beta is {self.beta}; found none. Set it, or beta: 0"
            )

    def reads(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"] | None:
        return group.mask if self.beta > 0 else None

    def credit(self, scored: Scored, totals: Totals) -> Credit:
        mask, reward = scored.group.mask, scored.total
        advantage = ops.standardised(reward) if self.standardise == "std" else ops.centred(reward)
        share = ops.shares(mask, totals, self.reduce, reward.dtype)
        return Credit(ops.per_token(advantage, mask), self.beta * mask.to(reward.dtype), share)

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        gain = ops.surrogate(ops.ratio(now.logp, before(now, rows, self.clip)), credit.worth, self.clip)
        if rows.reference is None:
            return -gain
        return credit.pull * ops.k3(now.logp, rows.reference) - gain

    def report(self, scored: Scored) -> Mapping[str, float]:
        return {}


def check(beta: float, clip: float | None) -> None:
    """Refuse weights and bounds that mean nothing."""
    if beta < 0:
        raise ValueError(f"algorithm.beta: expected 0 or more, found {beta}")
    if clip is not None and not 0 < clip < 1:
        raise ValueError(f"algorithm.clip: expected a number in (0, 1) or none, found {clip}")


def before(now: Tokens, rows: Scored, clip: float | None) -> Float[Tensor, "n t"]:
    """The denominator of the ratio: the policy that sampled where a clip needs it, else the policy as it is."""
    if clip is None:
        return now.logp.detach()
    if rows.group.logp_sampled is None:
        raise ValueError("algorithm.clip: needs the log-probabilities of the sampler, and these completions have none")
    return rows.group.logp_sampled
