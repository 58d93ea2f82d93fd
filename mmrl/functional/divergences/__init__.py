"""f-divergences D_f(pi || p) of a policy pi from a target p, each as its equations.

    D_f(pi || p) = sum_{p(x) > 0} p(x) f(t)  +  f'(inf) pi({p = 0}),      t = pi / p,  f convex,  f(1) = 0
    grad D_f     = E_{x ~ pi}[f'(t) grad log pi(x)]                       t held fixed

so minimising D_f is REINFORCE with the reward -f'(t), the *pseudo-reward*, here a function of the log-ratio L = log t.
Source: Go et al. 2023 (2302.08215). Departures: names say the order of the arguments (the classical names are aliases in
``DIVERGENCES``, since "reverse" means both orders in the literature); Jensen-Shannon is the half-half one, of which that
paper's generator is twice; the alpha family is not multiplied by 1 - a, so that it is continuous in a.

A policy that has mass where the target has none pays f'(inf) for it, which is finite or not: see ``slope_at_infinity``. At
finite L pseudo-rewards are finite: exponentials saturate ``HEADROOM`` below the largest number. At L = inf they are -f'(inf).
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.functional.divergences.generators import (
    Alpha,
    ChiSquarePolicyTarget,
    ChiSquareTargetPolicy,
    Divergence,
    Jeffreys,
    JensenShannon,
    KLPolicyTarget,
    KLTargetPolicy,
    SkewJensenShannon,
    SquaredHellinger,
    TotalVariation,
)
from mmrl.functional.divergences.numerics import exp

NORMALISED = 1e-6  # how far the sum of given probabilities may be from 1
NODES = 64  # of the quadrature of residual losses


DIVERGENCES: Mapping[str, Callable[..., Divergence]] = {  # by the order of the arguments; then aliases
    "kl_target_policy": KLTargetPolicy,
    "kl_policy_target": KLPolicyTarget,
    "js": JensenShannon,
    "skew_js": SkewJensenShannon,
    "tv": TotalVariation,
    "chi2_policy_target": ChiSquarePolicyTarget,
    "chi2_target_policy": ChiSquareTargetPolicy,
    "squared_hellinger": SquaredHellinger,
    "jeffreys": Jeffreys,
    "alpha": Alpha,
    "forward_kl": KLTargetPolicy,
    "reverse_kl": KLPolicyTarget,
    "jensen_shannon": JensenShannon,
    "total_variation": TotalVariation,
    "pearson_chi2": ChiSquarePolicyTarget,
    "neyman_chi2": ChiSquareTargetPolicy,
    "chi2_pi_p": ChiSquarePolicyTarget,
    "chi2_p_pi": ChiSquareTargetPolicy,
    "sq_hellinger": SquaredHellinger,
}


def divergence(name: str, **parameters: float) -> Divergence:
    """A divergence by name: ``divergence("alpha", a=0.75)``. Raises ValueError for an unknown name."""
    if name not in DIVERGENCES:
        raise ValueError(f"divergence: expected one of {', '.join(DIVERGENCES)}, found {name!r}")
    return DIVERGENCES[name](**parameters)


def value(divergence: Divergence, policy: Float[Tensor, "*b k"], target: Float[Tensor, "*b k"]) -> Float[Tensor, "*b"]:
    """D_f(policy || target), exact, of probabilities that are listed; inf where it is infinite.

    Raises ValueError for what are not probabilities that add up to 1.
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


def residual_slope(divergence: Divergence, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """f'(exp d) - f'(1), the derivative of a loss L_f(d) >= 0 of the residual d = log pi - log p that is 0 only at d = 0.

    Its expected gradient on-policy is that of D_f; its minimum is pi = p whoever samples. Reverse KL gives d: VarGrad, GVPO.
    Source: facts, divergences.md 1.10, the construction of f-trajectory balance (2605.15417).
    """
    return divergence.pseudo_reward(torch.zeros_like(log_ratio)) - divergence.pseudo_reward(log_ratio)


def residual_loss(divergence: Divergence, log_ratio: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """L_f(d), the integral of ``residual_slope`` from 0 to d: d^2 / 2 for reverse KL, d + e^-d - 1 for forward KL.

    By Gauss and Legendre's rule with NODES points, exact to rounding for |d| up to about 30; Jensen-Shannon's has no closed form.
    """
    places, weights = (log_ratio.new_tensor(x) for x in np.polynomial.legendre.leggauss(NODES))
    inner = (places + 1) / 2 * log_ratio[..., None]
    return (residual_slope(divergence, inner) * weights / 2).sum(dim=-1) * log_ratio


__all__ = [
    "DIVERGENCES",
    "Alpha",
    "ChiSquarePolicyTarget",
    "ChiSquareTargetPolicy",
    "Divergence",
    "Jeffreys",
    "JensenShannon",
    "KLPolicyTarget",
    "KLTargetPolicy",
    "SkewJensenShannon",
    "SquaredHellinger",
    "TotalVariation",
    "divergence",
    "exp",
    "residual_loss",
    "residual_slope",
    "value",
]
