"""The coefficients of an exponential family with wanted moments: generative distributional control's first step.

The distribution nearest to a base, in KL(p || base), among those with E_p[phi] = mu is p = base exp(lambda . phi) / Z. Its
coefficients minimise the dual sum_c tau_c log Z_c(lambda) - lambda . mu, which is convex, with gradient
sum_c tau_c E_{p_c}[phi] - mu and Hessian sum_c tau_c Cov_{p_c}(phi). Source: Khalifa, Elsahar and Dymetman 2021 (2012.11635).
Departures: damped Newton in log space instead of gradient steps; with several contexts c (prompts) each has its own Z_c, and the
*average* of their moments is mu, where a pooled fit would also re-weight the contexts; moments that nothing can reach are found
before the fit, not by a coefficient that runs away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.optimize import linprog
from torch import Tensor

TOLERANCE = 1e-11  # on the largest difference between moments and wanted moments
STEPS = 200
LEAST_PART = (
    1e-7  # of its uniform weight that every sample keeps, for wanted moments to count as inside and not on the edge
)
RANK = 1e-10  # directions with less than this part of the largest variance are features that say the same


class MomentsError(ValueError):
    """Wanted moments that no distribution on the samples has, or only one that drops some of them."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients and how they were found."""

    coefficients: Float[Tensor, " k"]
    moments: Float[Tensor, " k"]  # that they give
    log_z: Float[Tensor, " c"]  # of each context
    effective: Float[Tensor, " c"]  # effective samples of each context; far below their number, trust the fit little
    steps: int


def fit(
    features: Sequence[Float[Tensor, "n k"]],
    log_weights: Sequence[Float[Tensor, " n"]],
    wanted: Float[Tensor, " k"],
    shares: Float[Tensor, " c"] | None = None,
) -> Fit:
    """Coefficients under which the average over contexts of E_{p_c}[phi] is ``wanted``.

    For each context: the features of its samples and their log-weights, log base - log sampler (0 for samples of the base; the
    base's log-probabilities where all outcomes are listed). ``shares`` of the contexts add up to 1; equal if not given. Contexts
    in which nothing has mass are left out. Raises MomentsError for moments that are out of reach, naming the feature where it
    is out of reach by itself.
    """
    wanted = wanted.double()
    live = [c for c, w in enumerate(log_weights) if bool((w > -torch.inf).any())]
    if not live:
        raise MomentsError("moments: expected samples with mass under the other factors, found none")
    kept = [log_weights[c] > -torch.inf for c in live]
    phi = [features[c][k].double() for c, k in zip(live, kept, strict=True)]
    base = [log_weights[c][k].double() for c, k in zip(live, kept, strict=True)]
    tau = (torch.ones(len(features)) if shares is None else shares).double()[live]
    tau = tau / tau.sum()
    refuse_unreachable(phi, tau, wanted)
    return newton(phi, base, tau, wanted)


def newton(phi: Sequence[Tensor], base: Sequence[Tensor], tau: Tensor, wanted: Tensor) -> Fit:
    """Damped Newton on the dual from lambda = 0: a full step, halved until the dual falls enough."""
    coefficients, taken = torch.zeros_like(wanted), 0
    here = Dual.at(coefficients, phi, base, tau, wanted)
    while here.error > TOLERANCE and taken < STEPS:
        direction = -torch.linalg.pinv(here.hessian, rtol=RANK, hermitian=True) @ here.gradient
        slope, size = here.gradient @ direction, 1.0
        while True:
            there = Dual.at(coefficients + size * direction, phi, base, tau, wanted)
            if there.value <= here.value + 1e-4 * size * slope or there.error < 0.5 * here.error or size < 1e-8:
                break
            size /= 2
        if there.error >= here.error and size < 1e-8:
            break  # rounding: no further step helps
        coefficients, here, taken = coefficients + size * direction, there, taken + 1
    if here.error > 1e-6:
        raise MomentsError(
            f"moments: expected {wanted.tolist()}, reached {here.moments.tolist()} after {taken} steps; they are next to the edge "
            "of what the samples can give. Ask for less, or draw more samples"
        )
    return Fit(coefficients, here.moments, here.log_z, here.effective, taken)


@dataclass(frozen=True, slots=True)
class Dual:
    """sum_c tau_c log Z_c - lambda . mu at some coefficients, and its derivatives."""

    value: Tensor
    gradient: Tensor
    hessian: Tensor
    moments: Tensor
    log_z: Tensor
    effective: Tensor

    @property
    def error(self) -> float:
        """The largest difference between moments and wanted moments."""
        return float(self.gradient.abs().max())

    @classmethod
    def at(
        cls, coefficients: Tensor, phi: Sequence[Tensor], base: Sequence[Tensor], tau: Tensor, wanted: Tensor
    ) -> "Dual":
        log_z, means, covariances, effective = [], [], [], []
        for features, weight in zip(phi, base, strict=True):
            log_p = weight + features @ coefficients
            log_z.append(log_p.logsumexp(dim=0) - weight.logsumexp(dim=0))  # Z relative to the base's own
            p = log_p.softmax(dim=0)
            means.append(p @ features)
            from_mean = features - means[-1]
            covariances.append(from_mean.T @ (p[:, None] * from_mean))
            effective.append(1 / p.square().sum())
        log_z, means = torch.stack(log_z), torch.stack(means)
        moments = tau @ means
        hessian = torch.einsum("c,ckl->kl", tau, torch.stack(covariances))
        value = tau @ log_z - coefficients @ wanted
        return cls(value, moments - wanted, hessian, moments, log_z, torch.stack(effective))


def refuse_unreachable(phi: Sequence[Tensor], tau: Tensor, wanted: Tensor) -> None:
    """Raise MomentsError unless some distribution with mass on every sample has the wanted moments.

    That is when the coefficients are finite: a linear program over all weights. On the edge they would be infinite.
    """
    low = tau @ torch.stack([f.min(dim=0).values for f in phi])
    high = tau @ torch.stack([f.max(dim=0).values for f in phi])
    for k, (least, most, value) in enumerate(zip(low.tolist(), high.tolist(), wanted.tolist(), strict=True)):
        if not (least < value < most or least == value == most):
            raise MomentsError(
                f"moments: feature {k}: expected a wanted moment strictly between {least:.6g} and {most:.6g}, which is what the "
                f"samples can give, found {value}. Ask for less, draw more samples, or, for a moment of 1 of a 0/1 feature, "
                "use a constraint"
            )
    if len(wanted) > 1 and not jointly_reachable(phi, tau, wanted):
        raise MomentsError(
            f"moments: each of {wanted.tolist()} is within reach, but no distribution on the samples has them together. "
            "Ask for less, or draw more samples"
        )


def jointly_reachable(phi: Sequence[Tensor], tau: Tensor, wanted: Tensor) -> bool:
    """Whether weights of at least a little everywhere have the moments: w = e u + v, v >= 0, and the largest e is above 0."""
    counts = [len(f) for f in phi]
    uniform = torch.cat([torch.full((n,), 1 / n, dtype=torch.float64) for n in counts])
    scaled = torch.cat([t * f for t, f in zip(tau, phi, strict=True)])  # [N, k]
    context = torch.repeat_interleave(torch.eye(len(phi), dtype=torch.float64), torch.tensor(counts), dim=0)  # [N, c]
    columns = torch.cat([scaled, context], dim=1).T  # one equation a moment, one a context
    equations = torch.cat([columns, (columns @ uniform)[:, None]], dim=1)
    right = torch.cat([wanted, torch.ones(len(phi), dtype=torch.float64)])
    cost = [0.0] * len(uniform) + [-1.0]
    found = linprog(cost, A_eq=equations.numpy(), b_eq=right.numpy(), bounds=[(0, None)] * len(uniform) + [(0, 1)])
    return bool(found.success) and -found.fun > LEAST_PART
