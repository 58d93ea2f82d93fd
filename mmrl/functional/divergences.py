"""f-divergences D_f(pi || p) of a policy pi from a target p, each given by its equations.

    D_f(pi || p) = sum_{p(x) > 0} p(x) f(t)  +  f'(inf) pi({p = 0}),      t = pi / p,  f convex,  f(1) = 0
    grad D_f     = E_{x ~ pi}[f'(t) grad log pi(x)]                       t held fixed

so minimising D_f is REINFORCE with the reward -f'(t), the *pseudo-reward*, here a function of the log-ratio L = log t.
Source: Go et al. 2023 (2302.08215). Departures: the names in a config give the order of the arguments (the classical
names are aliases, since "reverse" means both orders in the literature); Jensen-Shannon has weights 1/2 and 1/2, and that
paper's generator is twice it; the alpha family is not multiplied by 1 - a, so that it is continuous in a.

Each unit of policy mass where the target has none costs f'(inf), which may be infinite: see ``slope_at_infinity``. At
finite L pseudo-rewards are finite: exponentials saturate ``HEADROOM`` below the largest number. At L = inf they are -f'(inf).

Facts and the scales of other sources: docs/facts/divergences.md.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from mmrl.runtime.choices import Choice

NORMALISED = 1e-6  # how far the sum of given probabilities may be from 1
HEADROOM = 8.0  # nats between a saturated exponential and the largest number, so that a group's sum is finite
TIE = 1e-12  # log-ratios nearer to 0 count as 0 in float64; in shorter types the limit is 4 of their epsilons


class Divergence(ABC):
    """The generator f of a divergence, its slope and its pseudo-reward."""

    __slots__ = ()
    slope_at_infinity: ClassVar[float]  # f'(inf): the cost of a unit of policy mass outside the target's support
    curvature: ClassVar[float]  # f''(1): near pi = p, D is f''(1) / 2 times chi-square; nan where f has a kink
    power: ClassVar[float | None] = None  # a, if f is t^a up to scale and linear terms: Z then scales 1 + (1 - a) r

    @abstractmethod
    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        """Return the generator at the density ratio t = pi / p."""

    @abstractmethod
    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        """Return f'(t)."""

    @abstractmethod
    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        """Return -f'(exp L). It is separate from ``slope`` so that it is exact for every L."""


@dataclass(frozen=True, slots=True)
class KLTargetPolicy(Divergence):
    """KL(p || pi), forward KL: f = -log t. Its pseudo-reward is never negative, and unbounded where the policy lacks mass."""

    name: Literal["kl_target_policy", "forward_kl"] = field(default="kl_target_policy", kw_only=True, compare=False)
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
class KLPolicyTarget(Divergence):
    """KL(pi || p), reverse KL: f = t log t. KL-regularised RL minimises it; Z only shifts its pseudo-reward."""

    name: Literal["kl_policy_target", "reverse_kl"] = field(default="kl_policy_target", kw_only=True, compare=False)
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
class JensenShannon(Divergence):
    """1/2 KL(pi || m) + 1/2 KL(p || m) with m = (pi + p) / 2: f = 1/2 [t log t - (t + 1) log((t + 1) / 2)]. At most log 2."""

    name: Literal["js", "jensen_shannon"] = field(default="js", kw_only=True, compare=False)
    slope_at_infinity: ClassVar[float] = math.log(2) / 2
    curvature: ClassVar[float] = 0.25

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (t.xlogy(t) - (t + 1) * ((t + 1) / 2).log()) / 2

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (math.log(2) - (1 / t).log1p()) / 2

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (softplus(-log_ratio) - math.log(2)) / 2


@dataclass(frozen=True, slots=True)
class SkewJensenShannon(Divergence):
    """w KL(pi || m) + (1 - w) KL(p || m) with m = w pi + (1 - w) p: f = w t log t - (w t + 1 - w) log(w t + 1 - w).

    Tends to w KL(pi || p) as w goes to 0 and to (1 - w) KL(p || pi) as w goes to 1.
    """

    name: Literal["skew_js"] = field(default="skew_js", kw_only=True, compare=False)
    weight: float = 0.5  # w, the policy's part of the mixture

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
class TotalVariation(Divergence):
    """1/2 sum |pi - p|: f = 1/2 |t - 1|. Its pseudo-reward is a sign alone, so it needs an exact Z."""

    name: Literal["tv", "total_variation"] = field(default="tv", kw_only=True, compare=False)
    slope_at_infinity: ClassVar[float] = 0.5
    curvature: ClassVar[float] = math.nan

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (t - 1).abs() / 2

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return sign(t - 1) / 2

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return -sign(log_ratio) / 2


@dataclass(frozen=True, slots=True)
class ChiSquarePolicyTarget(Divergence):
    """sum (pi - p)^2 / p, Pearson's chi-square of pi against p: f = (t - 1)^2."""

    name: Literal["chi2_policy_target", "pearson_chi2", "chi2_pi_p"] = field(
        default="chi2_policy_target", kw_only=True, compare=False
    )
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
class ChiSquareTargetPolicy(Divergence):
    """sum (pi - p)^2 / pi, Neyman's chi-square of pi against p: f = (t - 1)^2 / t."""

    name: Literal["chi2_target_policy", "neyman_chi2", "chi2_p_pi"] = field(
        default="chi2_target_policy", kw_only=True, compare=False
    )
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
class SquaredHellinger(Divergence):
    """1/2 sum (sqrt pi - sqrt p)^2: f = 1/2 (sqrt t - 1)^2. Its cost outside the support is bounded."""

    name: Literal["squared_hellinger", "sq_hellinger"] = field(default="squared_hellinger", kw_only=True, compare=False)
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
class Jeffreys(Divergence):
    """KL(pi || p) + KL(p || pi): f = (t - 1) log t."""

    name: Literal["jeffreys"] = field(default="jeffreys", kw_only=True, compare=False)
    slope_at_infinity: ClassVar[float] = math.inf
    curvature: ClassVar[float] = 2.0

    def f(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return (t - 1) * t.log()

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return t.log() + 1 - 1 / t

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return exp(-log_ratio) - 1 - log_ratio


@dataclass(frozen=True, slots=True)
class Alpha(Divergence):
    """(sum pi^a p^(1-a) - 1) / (a (a - 1)), the power family: f = (t^a - a t - 1 + a) / (a (a - 1)), continuous in a.

    a = 0 is KL(p || pi), a = 1 KL(pi || p), 1/2 four times squared Hellinger, 2 half of chi-square(pi || p), -1 half of
    chi-square(p || pi); D_a(pi || p) = D_{1-a}(p || pi). Kruszewski et al. 2026 (2512.05962) define a in the same direction.
    """

    name: Literal["alpha"] = field(default="alpha", kw_only=True, compare=False)
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
        if self.a < 0.5:  # both forms are equal; each is exact near the limit that is nearer
            return (power_log(t.log(), self.a) - (t - 1)) / (self.a - 1)
        return (torch.where(t == 0, 0.0, t * power_log(t.log(), self.a - 1)) - (t - 1)) / self.a

    def slope(self, t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return power_log(t.log(), self.a - 1)

    def pseudo_reward(self, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        return -power_log(log_ratio, self.a - 1)


BUILT_IN = (
    KLTargetPolicy, KLPolicyTarget, JensenShannon, SkewJensenShannon, TotalVariation, ChiSquarePolicyTarget,
    ChiSquareTargetPolicy, SquaredHellinger, Jeffreys, Alpha,
)  # fmt: skip
AnyDivergence = Annotated[Divergence, Choice("divergence", BUILT_IN)]  # a config chooses one by name


def value(divergence: Divergence, policy: Float[Tensor, "*b k"], target: Float[Tensor, "*b k"]) -> Float[Tensor, "*b"]:
    """Return D_f(policy || target), exact, of listed probabilities, [*b]; it may be inf.

    Raises ValueError unless both are probabilities that add up to 1.
    """
    for name, p in (("policy", policy), ("target", target)):
        if not bool((p >= 0).all()) or not bool(((p.sum(dim=-1) - 1).abs() <= NORMALISED).all()):
            raise ValueError(
                f"{name}: expected probabilities that add up to 1, found {p.tolist()}; divide the target by its Z"
            )
    inside = target > 0
    safe = torch.where(inside, target, 1.0)
    terms = torch.where(inside, safe * divergence.f(torch.where(inside, policy / safe, 1.0)), 0.0)
    outside = torch.where(inside, 0.0, policy).sum(dim=-1)
    slope = divergence.slope_at_infinity
    price = slope * outside if math.isfinite(slope) else torch.where(outside > 0, slope, 0.0)
    return terms.sum(dim=-1) + price


def exp(x: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Return e^x, which saturates at finite x; 0 at -inf and inf at inf."""
    return torch.where(x.isinf(), x, x.clamp(max=most(x.dtype))).exp()


def expm1(x: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Return e^x - 1, which saturates at finite x; -1 at -inf and inf at inf."""
    return torch.where(x.isinf(), x, x.clamp(max=most(x.dtype))).expm1()


def most(dtype: torch.dtype) -> float:
    """Return the exponent at which exponentials saturate."""
    return math.log(torch.finfo(dtype).max) - HEADROOM


def power_log(x: Float[Tensor, "*s"], k: float) -> Float[Tensor, "*s"]:
    """Return (e^(k x) - 1) / k; x for k = 0."""
    return x if k == 0 else expm1(k * x) / k


def sign(x: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Return -1, 0 or 1; 0 if only rounding separates x from 0."""
    tie = TIE if x.dtype == torch.float64 else 4 * torch.finfo(x.dtype).eps
    return torch.where(x.abs() <= tie, 0.0, x.sign())
