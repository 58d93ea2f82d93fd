"""The coefficients of an exponential family with wanted moments: the first step of generative distributional control.

Among the distributions with E_p[phi] = mu, the nearest to a base in KL(p || base) is p = base exp(lambda . phi) / Z. Its
coefficients minimise the dual sum_c tau_c log Z_c(lambda) - lambda . mu, which is convex, with gradient
sum_c tau_c E_{p_c}[phi] - mu and Hessian sum_c tau_c Cov_{p_c}(phi). Source: Khalifa, Elsahar and Dymetman 2021 (2012.11635).
Departures: damped Newton in log space instead of gradient steps; with several contexts c (prompts) each has its own Z_c, and the
*average* of their moments is mu (a pooled fit would also re-weight the contexts); unreachable moments are found before the
fit, not by a coefficient that diverges.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.optimize import linprog
from scipy.sparse import csr_array, hstack, vstack
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

TOLERANCE = 1e-14  # on the largest error of a moment, in units of its feature's range; rounding may end the fit before
MISSED = 1e-8  # a larger error raises MomentsError
STEPS = 500
LEAST_STEP = 1e-8
REACH = 3.0  # nats: further away its parabola does not describe the dual
LEAST_PART = 1e-6  # of its uniform weight that every sample must have: the wanted moments are not on the edge
RANK = 1e-10  # directions with less than this part of the largest variance are redundant features


class MomentsError(ValueError):
    """No distribution on the samples has the wanted moments, or only one that gives some samples no mass."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The coefficients of a fit, with the moments and log Z that they give."""

    coefficients: Float[Tensor, " k"]
    moments: Float[Tensor, " k"]  # the moments that the coefficients give
    log_z: Float[Tensor, " c"]  # of each context
    effective: Float[Tensor, " c"]  # effective samples of each context; far below their number, trust the fit little
    steps: int


def fit(
    features: Sequence[Float[Tensor, "_ k"]],
    log_weights: Sequence[Float[Tensor, " _"]],
    wanted: Float[Tensor, " k"],
    shares: Float[Tensor, " c"] | None = None,
) -> Fit:
    """Return the coefficients under which the average over contexts of E_{p_c}[phi] is ``wanted``.

    Each context gives the features of its samples, [n k], and their log-weights, [n]: log base - log sampler (0 for samples of
    the base; the base's log-probabilities if all outcomes are listed). ``shares`` are the weights of the contexts and add up to
    1; they are equal if not given. Contexts without mass are left out. Raises MomentsError if the moments are out of reach; it
    names the feature if one alone is out of reach.
    """
    wanted = wanted.double()
    live = [c for c, weight in enumerate(log_weights) if bool((weight > -torch.inf).any())]
    if not live:
        raise MomentsError("moments: expected samples with mass under the other factors, found none")
    tau = (torch.ones(len(features)) if shares is None else shares).double()[live]
    phi = pad_sequence([features[c].double() - wanted for c in live], batch_first=True)
    base = pad_sequence([log_weights[c].double() for c in live], batch_first=True, padding_value=-torch.inf)
    base = base - base.logsumexp(dim=1, keepdim=True)
    low, high = ranges(phi, base)
    spread = (high - low).amax(dim=0)
    spread = torch.where(spread > 0, spread, 1.0)
    problem = Problem(phi / spread, base, tau / tau.sum())
    refuse_unreachable(problem, wanted, spread)
    scaled, dual, steps = newton(problem)
    coefficients = scaled / spread
    if dual.error > MISSED:
        raise MomentsError(
            f"moments: expected {wanted.tolist()}, reached {(wanted + spread * dual.gradient).tolist()} after {steps} steps; they "
            "are next to the edge of what the samples can give. Ask for less, or draw more samples"
        )
    return Fit(coefficients, wanted + spread * dual.gradient, dual.log_z + coefficients @ wanted, dual.effective, steps)


@dataclass(frozen=True, slots=True)
class Dual:
    """sum_c tau_c log Z_c at some coefficients, and its derivatives."""

    value: Tensor
    gradient: Tensor
    hessian: Tensor
    log_z: Tensor
    effective: Tensor

    @property
    def direction(self) -> Tensor:
        """Return Newton's step, in features of equal variance; 0 along redundant features."""
        scale = self.hessian.diagonal().sqrt()
        scale = torch.where(scale > 0, scale, 1.0)
        inverse = torch.linalg.pinv(self.hessian / scale / scale[:, None], rtol=RANK, hermitian=True)
        return -(inverse @ (self.gradient / scale)) / scale

    @property
    def error(self) -> float:
        """Return the largest difference between moments and wanted moments."""
        return float(self.gradient.abs().max())


@dataclass(frozen=True, slots=True)
class Problem:
    """Features minus their wanted moments, in units of their ranges, so that the wanted moments are 0.

    Contexts are padded to one length. Padding and samples outside the support have log-weight -inf; the weights of the other
    samples add up to 1 in each context.
    """

    phi: Float[Tensor, "c n k"]
    base: Float[Tensor, "c n"]
    tau: Float[Tensor, " c"]

    @property
    def live(self) -> Bool[Tensor, "c n"]:
        return self.base > -torch.inf

    def at(self, coefficients: Float[Tensor, " k"]) -> Dual:
        """Return the dual and its derivatives at some coefficients."""
        log_p = self.base + self.phi @ coefficients
        log_z = log_p.logsumexp(dim=1)
        p = log_p.softmax(dim=1)
        means = torch.einsum("cn,cnk->ck", p, self.phi)
        from_mean = self.phi - means[:, None]
        hessian = torch.einsum("cn,cnk,cnl->kl", self.tau[:, None] * p, from_mean, from_mean)
        return Dual(self.tau @ log_z, self.tau @ means, hessian, log_z, 1 / p.square().sum(dim=1))


def newton(problem: Problem) -> tuple[Tensor, Dual, int]:
    """Run damped Newton on the dual from lambda = 0. Steps change no log-weight by more than REACH, and are halved until they help."""
    coefficients, taken = problem.phi.new_zeros(problem.phi.shape[-1]), 0
    here = problem.at(coefficients)
    while here.error > TOLERANCE and taken < STEPS:
        direction = here.direction
        furthest = float((problem.phi @ direction)[problem.live].abs().max())
        size = min(1.0, REACH / furthest) if furthest > 0 else 1.0
        slope = float(here.gradient @ direction)
        there = problem.at(coefficients + size * direction)
        while there.value > here.value + 1e-4 * size * slope and there.error > 0.5 * here.error and size > LEAST_STEP:
            size /= 2
            there = problem.at(coefficients + size * direction)
        if there.error >= here.error and size <= LEAST_STEP:
            break  # rounding: no further step helps
        coefficients, here, taken = coefficients + size * direction, there, taken + 1
    return coefficients, here, taken


def ranges(
    phi: Float[Tensor, "c n k"], base: Float[Tensor, "c n"]
) -> tuple[Float[Tensor, "c k"], Float[Tensor, "c k"]]:
    """Return the lowest and the highest value of each feature in each context."""
    outside = (base == -torch.inf)[:, :, None]
    return phi.masked_fill(outside, torch.inf).amin(dim=1), phi.masked_fill(outside, -torch.inf).amax(dim=1)


def refuse_unreachable(problem: Problem, wanted: Float[Tensor, " k"], spread: Float[Tensor, " k"]) -> None:
    """Raise MomentsError unless some distribution with mass on every sample has the wanted moments.

    Only then the coefficients are finite; on the edge they would be infinite. The check is a linear program over all weights.
    """
    low, high = (problem.tau @ end for end in ranges(problem.phi, problem.base))
    for k, (least, most) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        if not (least < 0 < most or least == 0 == most):
            target, unit = float(wanted[k]), float(spread[k])
            raise MomentsError(
                f"moments: feature {k}: expected a wanted moment strictly between {target + unit * least:.6g} and "
                f"{target + unit * most:.6g}, which is what the samples can give, found {target}. Ask for less, draw more samples, "
                "or, for a moment of 1 of a 0/1 feature, use a constraint"
            )
    if len(wanted) > 1 and not jointly_reachable(problem):
        raise MomentsError(
            f"moments: each of {wanted.tolist()} is within reach, but no distribution on the samples has them together. "
            "Ask for less, or draw more samples"
        )


def jointly_reachable(problem: Problem) -> bool:
    """Return True if weights w = e u + v, v >= 0, u uniform, have the moments, and the largest such e is above 0."""
    live, (contexts, width) = problem.live, problem.base.shape
    place = torch.arange(contexts)[:, None].expand(contexts, width)[live].numpy()  # the context of each sample
    uniform = (1 / live.sum(dim=1, keepdim=True)).expand(contexts, width)[live].double().numpy()
    moments = (problem.tau[:, None, None] * problem.phi)[live].T.numpy()  # one equation a moment, one a context
    sums = csr_array((np.ones(len(place)), (place, np.arange(len(place)))), shape=(contexts, len(place)))
    equations = vstack([csr_array(moments), sums])
    equations = hstack([equations, csr_array((equations @ uniform)[:, None])])
    right = np.concatenate([np.zeros(problem.phi.shape[-1]), np.ones(contexts)])
    cost = np.append(np.zeros(len(place)), -1.0)
    solution = linprog(cost, A_eq=equations, b_eq=right, bounds=[(0, None)] * len(place) + [(0, 1)])
    return bool(solution.success) and -solution.fun > LEAST_PART
