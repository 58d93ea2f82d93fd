"""The factors by which a target multiplies the reference: p(x) = pi0(x) product of factors / Z; each is a function of rewards.

Factors are in log space and per completion: ``log_weight`` is log of (factor at x), -inf where the target has no mass.
Rewards go by their names in the config; "total" is their weighted sum. A product of targets is a tuple of factors:
``log_weight(factors, rewards)`` is the sum of their log-weights, and log P = log pi0 + that sum.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.runtime.choices import Choice

Bounds = tuple[float, float]  # lowest and highest log-weight


class Factor(ABC):
    """One factor of a target."""

    __slots__ = ()
    # True if the factor is 0 somewhere, so that the target's support is smaller than the reference's
    has_zero_support: ClassVar[bool] = False
    bounds: ClassVar[Bounds | None] = None  # its lowest and highest log-weight, if they are known

    @property
    @abstractmethod
    def rewards(self) -> tuple[str, ...]:
        """Return the names of the rewards that the factor uses."""

    @abstractmethod
    def log_weight(self, rewards: Mapping[str, Float[Tensor, " n"]]) -> Float[Tensor, " n"]:
        """Return the logarithm of the factor at each completion, [n]. Raises ValueError for rewards that are not as declared."""


@dataclass(frozen=True, slots=True)
class Tilt(Factor):
    """exp(r / beta), the posterior under a reward: the optimum of E[r] - beta KL(pi || pi0).

    Source: Korbak, Perez and Buckley 2022 (2205.11275). ``low`` and ``high`` declare the reward's range. A
    bounded Z, an offline Z from few samples and exact rejection need them; rewards outside raise ValueError.
    """

    name: Literal["tilt"] = field(default="tilt", kw_only=True)
    beta: float = 0.5  # smaller: closer to the best completions; larger: closer to the reference
    reward: str = "total"
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        positive("tilt.beta", self.beta)
        ordered = self.low is self.high if self.low is None or self.high is None else self.low < self.high
        if not ordered:
            raise ValueError(
                f"tilt: expected both low and high, low below high, or neither; found {self.low}, {self.high}"
            )

    @property
    def rewards(self) -> tuple[str, ...]:
        return (self.reward,)

    @property
    def bounds(self) -> Bounds | None:
        return None if self.low is None or self.high is None else (self.low / self.beta, self.high / self.beta)

    def log_weight(self, rewards: Mapping[str, Float[Tensor, " n"]]) -> Float[Tensor, " n"]:
        reward = finite_reward(rewards, self.reward)
        if self.low is not None and self.high is not None and bool(((reward < self.low) | (reward > self.high)).any()):
            raise ValueError(
                f"reward {self.reward!r}: expected within [{self.low}, {self.high}] as its tilt declares, found "
                f"{reward.tolist()}; correct tilt.low and tilt.high, or leave both out"
            )
        return reward / self.beta


@dataclass(frozen=True, slots=True)
class Constraint(Factor):
    """b(x), 1 if a verifier is satisfied and 0 otherwise: the filtered reference. It is the limit of a tilt as beta goes to 0.

    With ``floor`` the factor is the floor instead of 0, and the target has the reference's support. Divergences such as
    KL(pi || p), which are infinite otherwise, need that.
    """

    name: Literal["constraint"] = field(default="constraint", kw_only=True)
    reward: str = "accuracy"
    at_least: float | None = None  # satisfied from here on; none: the reward must be 0 or 1
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.floor < 1:
            raise ValueError(f"constraint.floor: expected a number in [0, 1), found {self.floor}")

    @property
    def rewards(self) -> tuple[str, ...]:
        return (self.reward,)

    @property
    def has_zero_support(self) -> bool:
        return self.floor == 0

    @property
    def bounds(self) -> Bounds:
        return (math.log(self.floor) if self.floor else -math.inf, 0.0)

    def log_weight(self, rewards: Mapping[str, Float[Tensor, " n"]]) -> Float[Tensor, " n"]:
        reward = finite_reward(rewards, self.reward)
        if self.at_least is None and not bool(((reward == 0) | (reward == 1)).all()):
            raise ValueError(
                f"reward {self.reward!r}: expected 0 or 1 under a constraint, found {reward.tolist()}; "
                "set constraint.at_least to the score that satisfies it, or use a tilt"
            )
        satisfied = reward >= (1.0 if self.at_least is None else self.at_least)
        return torch.where(satisfied, 0.0, self.bounds[0]).to(reward.dtype)


@dataclass(frozen=True, slots=True)
class Exponential(Factor):
    """exp(lambda . phi) with known coefficients; ``mmrl.functional.targets.fit`` computes those that give wanted moments."""

    name: Literal["exponential"] = field(default="exponential", kw_only=True)
    coefficients: Mapping[str, float]  # feature (a reward by name) -> lambda

    @property
    def rewards(self) -> tuple[str, ...]:
        return tuple(self.coefficients)

    def log_weight(self, rewards: Mapping[str, Float[Tensor, " n"]]) -> Float[Tensor, " n"]:
        terms = (value * finite_reward(rewards, name) for name, value in self.coefficients.items())
        return sum(terms, torch.zeros_like(next(iter(rewards.values()))))


@dataclass(frozen=True, slots=True)
class Cautious(Factor):
    """exp((m - k s) / beta): the tilt by a lower bound of an uncertain reward, so that an uncertain reward moves the policy little.

    m and s are mean and unbiased standard deviation over ``members``, the graders of an ensemble. With one member, s is the
    reward ``deviation``, that grader's own uncertainty. Source: Korbak's blog post on KL penalties as Bayesian inference, which
    proposes targets that take the certainty of a reward into account.
    """

    name: Literal["cautious"] = field(default="cautious", kw_only=True)
    members: tuple[str, ...]
    beta: float = 0.5
    k: float = 1.0
    deviation: str | None = None

    def __post_init__(self) -> None:
        positive("cautious.beta", self.beta)
        if not (self.k >= 0 and math.isfinite(self.k)):
            raise ValueError(f"cautious.k: expected a finite number of 0 or more, found {self.k}")
        if (len(self.members) < 2) == (self.deviation is None):
            raise ValueError(
                "cautious: expected two or more members, or one and the name of its deviation; "
                f"found members {list(self.members)} and deviation {self.deviation}"
            )

    @property
    def rewards(self) -> tuple[str, ...]:
        return self.members if self.deviation is None else (*self.members, self.deviation)

    def log_weight(self, rewards: Mapping[str, Float[Tensor, " n"]]) -> Float[Tensor, " n"]:
        members = torch.stack([finite_reward(rewards, name) for name in self.members])
        if self.deviation is None:
            spread = members.std(dim=0)
        elif bool(((spread := finite_reward(rewards, self.deviation)) < 0).any()):
            raise ValueError(f"reward {self.deviation!r}: expected a deviation of 0 or more, found {spread.tolist()}")
        return (members.mean(dim=0) - self.k * spread) / self.beta


@dataclass(frozen=True, slots=True)
class Ensemble(Factor):
    """The average of exp(r_i / beta) over the graders of an ensemble: each of them may be the right one.

    The highest reward dominates it, while low rewards dominate ``Cautious``.
    """

    name: Literal["ensemble"] = field(default="ensemble", kw_only=True)
    members: tuple[str, ...]
    beta: float = 0.5

    def __post_init__(self) -> None:
        positive("ensemble.beta", self.beta)
        if not self.members:
            raise ValueError("ensemble.members: expected one or more rewards, found none")

    @property
    def rewards(self) -> tuple[str, ...]:
        return self.members

    def log_weight(self, rewards: Mapping[str, Float[Tensor, " n"]]) -> Float[Tensor, " n"]:
        members = torch.stack([finite_reward(rewards, name) for name in self.members])
        return (members / self.beta).logsumexp(dim=0) - math.log(len(members))


# a config chooses it by name
AnyFactor = Annotated[Factor, Choice("target", (Tilt, Constraint, Exponential, Cautious, Ensemble))]


def log_weight(factors: Sequence[Factor], rewards: Mapping[str, Float[Tensor, " n"]]) -> Float[Tensor, " n"]:
    """Return log P - log pi0 of the product of the factors, [n]; -inf outside its support, 0 without factors."""
    nothing = torch.zeros_like(next(iter(rewards.values())))
    return sum((factor.log_weight(rewards) for factor in factors), nothing)


def bounds(factors: Sequence[Factor]) -> Bounds | None:
    """Return the lowest and highest log-weight of a product; None unless all factors have bounds. log Z lies between them."""
    known = [factor.bounds for factor in factors if factor.bounds is not None]
    return (sum(low for low, _ in known), sum(high for _, high in known)) if len(known) == len(factors) else None


def finite_reward(rewards: Mapping[str, Float[Tensor, " n"]], name: str) -> Float[Tensor, " n"]:
    """Return the reward of a name, [n]. Raises ValueError if it is missing or not finite."""
    if name not in rewards:
        raise ValueError(f"target: expected a reward {name!r}, found {', '.join(rewards)}; add it to rewards")
    if not bool(rewards[name].isfinite().all()):
        raise ValueError(
            f"reward {name!r}: expected finite numbers, found {rewards[name].tolist()}; look at its grader"
        )
    return rewards[name]


def positive(name: str, value: float) -> None:
    """Raise ValueError for a temperature of 0 or less, or one that is not finite."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(
            f"{name}: expected a finite number above 0, found {value}; for the limit of 0 use a constraint"
        )
