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

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.functional.divergences.generators import (
    Alpha,
    AnyDivergence,
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
    exp,
)

NORMALISED = 1e-6  # how far the sum of given probabilities may be from 1


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
