"""The generators f of divergences, each with its slope, its limit and its pseudo-reward."""

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from mmrl.functional.divergences.numerics import exp, expm1, power_log, sign


@runtime_checkable
class Divergence(Protocol):
    """What is known of every divergence."""

    @property
    def slope_at_infinity(self) -> float:
        """f'(inf): the price of a unit of policy mass outside the target's support."""
        ...

    @property
    def curvature(self) -> float:
        """f''(1): near pi = p every smooth divergence is f''(1) / 2 times chi-square; nan where f has a kink."""
        ...

    @property
    def power(self) -> float | None:
        """The exponent a where f is t^a up to scale and linear terms (0, 1: its limits). Then Z only scales 1 + (1 - a) r."""
        ...

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        """The generator at the density ratio t = pi / p."""
        ...

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        """f'(t)."""
        ...

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        """-f'(exp L)."""
        ...


@dataclass(frozen=True, slots=True)
class KLTargetPolicy:
    """KL(p || pi), forward KL: f = -log t. Never punishes; rewards what the policy lacks without bound."""

    slope_at_infinity: ClassVar[float] = 0.0
    curvature: ClassVar[float] = 1.0
    power: ClassVar[float] = 0.0

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return -t.log()

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return -1 / t

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return exp(-log_ratio)


@dataclass(frozen=True, slots=True)
class KLPolicyTarget:
    """KL(pi || p), reverse KL: f = t log t. KL-regularised RL minimises it; Z only shifts its pseudo-reward."""

    slope_at_infinity: ClassVar[float] = math.inf
    curvature: ClassVar[float] = 1.0
    power: ClassVar[float] = 1.0

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return t.xlogy(t)

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return 1 + t.log()

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return -(1 + log_ratio)


@dataclass(frozen=True, slots=True)
class JensenShannon:
    """1/2 KL(pi || m) + 1/2 KL(p || m) with m = (pi + p) / 2: f = 1/2 [t log t - (t + 1) log((t + 1) / 2)]. At most log 2."""

    slope_at_infinity: ClassVar[float] = math.log(2) / 2
    curvature: ClassVar[float] = 0.25
    power: ClassVar[None] = None

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (t.xlogy(t) - (t + 1) * ((t + 1) / 2).log()) / 2

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (math.log(2) - (1 / t).log1p()) / 2

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (softplus(-log_ratio) - math.log(2)) / 2


@dataclass(frozen=True, slots=True)
class SkewJensenShannon:
    """w KL(pi || m) + (1 - w) KL(p || m) with m = w pi + (1 - w) p: f = w t log t - (w t + 1 - w) log(w t + 1 - w).

    Tends to w KL(pi || p) as w goes to 0 and to (1 - w) KL(p || pi) as w goes to 1.
    """

    weight: float = 0.5  # w, the policy's part of the mixture

    power: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not 0 < self.weight < 1:
            raise ValueError(f"divergence.weight: expected a number in (0, 1), found {self.weight}; the limits are KLs")

    @property
    def slope_at_infinity(self) -> float:
        return -self.weight * math.log(self.weight)

    @property
    def curvature(self) -> float:
        return self.weight * (1 - self.weight)

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        mixture = self.weight * t + 1 - self.weight
        return self.weight * t.xlogy(t) - mixture * mixture.log()

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return -self.weight * (self.weight + (1 - self.weight) / t).log()

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        own = log_ratio.new_tensor(math.log(self.weight))
        return self.weight * torch.logaddexp(own, math.log1p(-self.weight) - log_ratio)


@dataclass(frozen=True, slots=True)
class TotalVariation:
    """1/2 sum |pi - p|: f = 1/2 |t - 1|. Says up or down and not how far, so it wants an exact Z."""

    slope_at_infinity: ClassVar[float] = 0.5
    curvature: ClassVar[float] = math.nan
    power: ClassVar[None] = None

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (t - 1).abs() / 2

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return sign(t - 1) / 2

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return -sign(log_ratio) / 2


@dataclass(frozen=True, slots=True)
class ChiSquarePolicyTarget:
    """sum (pi - p)^2 / p, Pearson's chi-square of pi against p: f = (t - 1)^2."""

    slope_at_infinity: ClassVar[float] = math.inf
    curvature: ClassVar[float] = 2.0
    power: ClassVar[float] = 2.0

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (t - 1) ** 2

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return 2 * (t - 1)

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return -2 * expm1(log_ratio)


@dataclass(frozen=True, slots=True)
class ChiSquareTargetPolicy:
    """sum (pi - p)^2 / pi, Neyman's chi-square of pi against p: f = (t - 1)^2 / t."""

    slope_at_infinity: ClassVar[float] = 1.0
    curvature: ClassVar[float] = 2.0
    power: ClassVar[float] = -1.0

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (t - 1) ** 2 / t

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return 1 - t**-2

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return expm1(-2 * log_ratio)


@dataclass(frozen=True, slots=True)
class SquaredHellinger:
    """1/2 sum (sqrt pi - sqrt p)^2: f = 1/2 (sqrt t - 1)^2. A bounded price and a tame reward."""

    slope_at_infinity: ClassVar[float] = 0.5
    curvature: ClassVar[float] = 0.25
    power: ClassVar[float] = 0.5

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (t.sqrt() - 1) ** 2 / 2

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (1 - t.rsqrt()) / 2

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return expm1(-log_ratio / 2) / 2


@dataclass(frozen=True, slots=True)
class Jeffreys:
    """KL(pi || p) + KL(p || pi): f = (t - 1) log t."""

    slope_at_infinity: ClassVar[float] = math.inf
    curvature: ClassVar[float] = 2.0
    power: ClassVar[None] = None

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (t - 1) * t.log()

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return t.log() + 1 - 1 / t

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return exp(-log_ratio) - 1 - log_ratio


@dataclass(frozen=True, slots=True)
class Alpha:
    """(sum pi^a p^(1-a) - 1) / (a (a - 1)), the power family: f = (t^a - a t - 1 + a) / (a (a - 1)), continuous in a.

    a = 0 is KL(p || pi), a = 1 KL(pi || p), 1/2 four times squared Hellinger, 2 half of chi-square(pi || p), -1 half of
    chi-square(p || pi); D_a(pi || p) = D_{1-a}(p || pi). Kruszewski et al. 2026 (2512.05962) count a in the same direction.
    """

    a: float = 0.5

    curvature: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.a):
            raise ValueError(f"divergence.a: expected a finite number, found {self.a}")

    @property
    def slope_at_infinity(self) -> float:
        return 1 / (1 - self.a) if self.a < 1 else math.inf

    @property
    def power(self) -> float:
        return self.a

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        if self.a < 0.5:  # two ways to write the same, exact near the limit that lies nearer
            return (power_log(t.log(), self.a) - (t - 1)) / (self.a - 1)
        return (torch.where(t == 0, 0.0, t * power_log(t.log(), self.a - 1)) - (t - 1)) / self.a

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return power_log(t.log(), self.a - 1)

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return -power_log(log_ratio, self.a - 1)
