"""Group relative policy optimisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.algorithms.base import Source
from mmrl.functional import policy_gradient
from mmrl.types import Credit, Frozen, Group, Scored, Tokens, Totals, Update

FLOOR = 0.1  # accuracy at or below which no row counts as accurate


@dataclass(frozen=True, slots=True)
class GRPO:
    """A completion is worth as much more than its siblings as its reward is.

        A_g  = (R_g - mean R) / (std R + 1e-4)                                         standardise: std, unbiased
        loss = - 1/G sum_g 1/T_g sum_t [ratio_gt A_g - beta k3_gt]                     reduce: sequence

    with ratio = pi / stopgrad(pi), which is 1 in value, or pi / pi_sampled cut to 1 +- clip where ``clip`` is given.
    ``beta: 0`` needs no reference and loads none. Source: Shao et al. 2024 (2402.03300) eq. 3-4; without clip as in the
    released trainers of Video-R1 and GRPO-CARE. Departures: a group's rewards are its own even where a batch holds several.

    ``dr_grpo`` is beta 0, standardise none, reduce constant (Liu et al. 2025, 2503.20783, sec. 3.2): no part of the loss is
    divided by a completion's own length or by a group's own spread. ``length`` is its constant, which there is the most tokens
    that a completion may have.

    The divergence as GRPO-CARE ablates it (2506.16141, table 3): KL-EMA is an ``ema`` reference; -HA is ``rows: accurate``;
    SepKL is ``tokens: separate``, in which the means over the reasoning and over the answer are added. How the paper defines
    "high accuracy" and splits the tokens is not published; here it is CARE's own filter, and the graded answer's tokens.
    """

    beta: float = 0.04  # weight of the divergence to the reference
    clip: float | None = None
    standardise: Literal["std", "none"] = "std"
    reduce: policy_gradient.Reduce = "sequence"
    length: float = 1.0  # what a completion counts as where reduce is constant
    rows: Literal["all", "accurate"] = "all"  # whose divergence counts
    tokens: Literal["all", "separate"] = "all"  # whether reasoning and answer have a mean each
    reference: Update | None = Frozen()

    source: ClassVar[Source] = "policy"
    siblings: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self.beta, self.clip)
        check_length(self.length)
        if self.beta > 0 and self.reference is None:
            raise ValueError(
                f"algorithm.reference: expected one, as beta is {self.beta}; found none. Set it, or beta: 0"
            )

    @property
    def rewards(self) -> tuple[str, ...]:
        return ("accuracy",) if self.rows == "accurate" else ()

    @property
    def unread(self) -> bool:
        return self.beta == 0

    @property
    def reuses(self) -> bool:
        return self.clip is not None

    def reads(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"] | None:
        return self.pulled(group, rewards) if self.beta > 0 else None

    def pulled(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"]:
        """The tokens whose divergence counts."""
        if self.rows == "all":
            return group.mask
        return group.mask & policy_gradient.accurate(rewards["accuracy"], FLOOR)[:, None]

    def credit(self, scored: Scored, totals: Totals) -> Credit:
        group, reward = scored.group, scored.total
        advantage = (
            policy_gradient.standardised(reward) if self.standardise == "std" else policy_gradient.centred(reward)
        )
        pull = self.beta * self.pulled(group, scored.rewards).to(reward.dtype)
        if self.tokens == "separate":
            pull = pull * separately(group.mask, group.answer, reward.dtype)
        share = policy_gradient.shares(group.mask, totals, self.reduce, reward.dtype, self.length)
        return Credit(policy_gradient.per_token(advantage, group.mask), pull, share)

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        gain = policy_gradient.surrogate(
            policy_gradient.ratio(now.logp, before(now, rows, self.clip)), credit.worth, self.clip
        )
        if rows.reference is None:
            return -gain
        return credit.pull * policy_gradient.k3(now.logp, rows.reference) - gain

    def report(self, scored: Scored) -> Mapping[str, float]:
        return {}


def separately(mask: Bool[Tensor, "g t"], answer: Bool[Tensor, "g t"], dtype: torch.dtype) -> Float[Tensor, "g t"]:
    """Weights under which a mean over a completion's tokens is the mean over its reasoning plus that over its answer."""
    count = mask.sum(dim=1, keepdim=True).to(dtype)
    parts = (mask & ~answer, mask & answer)
    return sum(part * count / part.sum(dim=1, keepdim=True).clamp(min=1) for part in parts)


def check(beta: float, clip: float | None) -> None:
    """Refuse weights and bounds that mean nothing."""
    if beta < 0:
        raise ValueError(f"algorithm.beta: expected 0 or more, found {beta}")
    if clip is not None and not 0 < clip < 1:
        raise ValueError(f"algorithm.clip: expected a number in (0, 1) or none, found {clip}")


def check_high(high: float) -> None:
    """Refuse an upper bound of a ratio that is none."""
    if not high > 0:
        raise ValueError(f"algorithm.high: expected a number above 0, found {high}")


def check_length(length: float) -> None:
    """Refuse a denominator that is none."""
    if not length > 0:
        raise ValueError(f"algorithm.length: expected a number of tokens above 0, found {length}")


def before(now: Tokens, rows: Scored, clip: float | None) -> Float[Tensor, "n t"]:
    """The denominator of the ratio: the policy that sampled where a clip needs it, else the policy as it is."""
    return now.logp.detach() if clip is None else sampled(rows, "algorithm.clip")


def sampled(rows: Scored, needs: str) -> Float[Tensor, "n t"]:
    """The log-probabilities of the policy that sampled. Raises ValueError where nobody kept them."""
    if rows.group.logp_sampled is None:
        raise ValueError(f"{needs}: needs the log-probabilities of the sampler, and these completions have none")
    return rows.group.logp_sampled
