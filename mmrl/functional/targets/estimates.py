"""Estimates from samples x_i of q: Z = sum_x P(x), and the distance of a policy from the target.

Everything is in log space: log-weights are w_i = log P(x_i) - log q(x_i), with P the unnormalised target. The
estimate of Z decides the gradient of a divergence (tests/algorithms/test_fdpg.py shows it): the plug-in is biased and bounded; the
leave-one-out estimate is independent of the sample that it divides, so that for powers the direction is unbiased and the scale
heavy-tailed; an offline estimate is bounded, and valid for as long as the target is the same.

Distances follow Khalifa et al. 2021 (2012.11635), with the plug-in Z. It is better there even if the true Z is known: the
weights of a small sample do not have mean 1, and the plug-in divides that out. ``log_z`` replaces it if given.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.functional.targets.factors import Bounds

FLOOR = 1e-4  # stands for Z where no sample has mass, as in the code of alpha-DPG

ZEstimate = Literal["none", "plug_in", "leave_one_out", "running", "offline"]
LogValues = Float[Tensor, " n"]


def log_mean_exp(log_weight: LogValues) -> Float[Tensor, ""]:
    """Return the log of the mean of exp(log_weight); -inf if all are -inf."""
    return log_weight.logsumexp(dim=0) - math.log(len(log_weight))


def plug_in(log_weight: LogValues) -> LogValues:
    """Return the log of the mean weight of the whole group, for each of its members."""
    return log_mean_exp(log_weight).expand(len(log_weight))


def leave_one_out(log_weight: LogValues, past: Float[Tensor, ""] | None = None, count: float = 0.0) -> LogValues:
    """Return, for each member, the log of the mean weight of the other members and of ``count`` earlier samples.

    exp(past) is the sum of the weights of the earlier samples. Raises ValueError for a single sample without a past.
    """
    n = len(log_weight)
    if n - 1 + count <= 0:
        raise ValueError(f"leave-one-out Z: expected 2 or more completions, found {n}; raise rollout.group_size")
    others = log_weight.expand(n, n).masked_fill(torch.eye(n, dtype=torch.bool, device=log_weight.device), -math.inf)
    if past is not None:
        others = torch.cat([others, past.to(log_weight).expand(n, 1)], dim=1)
    return others.logsumexp(dim=1) - math.log(n - 1 + count)


def offline(log_weight: LogValues, bounds: Bounds | None = None) -> Float[Tensor, ""]:
    """Return log Z from the log-weights log P - log pi0 of n samples of the reference.

    If the bounds are known, one more sample is added, half of it at each bound, so that few samples do not make Z extreme: for
    a 0/1 constraint with k successes that is (k + 1/2) / (n + 1), for a tilt of a 0/1 reward 1 + s0 (e^(1/beta) - 1) with the
    same s0.
    """
    if bounds is None:
        return log_mean_exp(log_weight)
    added = log_weight.new_tensor(bounds) - math.log(2)
    return torch.cat([log_weight, added]).logsumexp(dim=0) - math.log(len(log_weight) + 1)


def clamp_log_z(log_z: LogValues, bounds: Bounds | None = None) -> LogValues:
    """Return a finite log Z: log FLOOR where no sample had mass; clamped to the bounds if they are given."""
    log_z = torch.where(log_z == -math.inf, math.log(FLOOR), log_z)
    return log_z if bounds is None else log_z.clamp(*bounds)


def plug_in_log_z(target: LogValues, sampler: LogValues) -> Float[Tensor, ""]:
    """Return the plug-in log Z. Raises ValueError if no sample has mass."""
    if bool((target == -math.inf).all()):
        raise ValueError("target: expected mass on some of the samples, found none; widen the target or draw more")
    return log_mean_exp(target - sampler)


def kl_target(
    target: LogValues, other: LogValues, sampler: LogValues, log_z: float | Tensor | None = None
) -> Float[Tensor, ""]:
    """Return KL(p || other) = -log Z + 1/Z mean of (P / q) (log P - log other); where P = 0 the term is 0."""
    z = plug_in_log_z(target, sampler) if log_z is None else log_z
    terms = torch.where(target == -math.inf, 0.0, (target - z - sampler).exp() * (target - other))
    return terms.mean() - z


def kl_policy(
    target: LogValues, policy: LogValues, sampler: LogValues, log_z: float | Tensor | None = None
) -> Float[Tensor, ""]:
    """Return KL(pi || p) = mean of (pi / q) (log pi - log p); inf if the policy has mass outside the support."""
    z = plug_in_log_z(target, sampler) if log_z is None else log_z
    return ((policy - sampler).exp() * (policy - target + z)).mean()


def kl_prior(policy: LogValues, prior: LogValues, sampler: LogValues) -> Float[Tensor, ""]:
    """Return KL(pi || pi0) = mean of (pi / q) (log pi - log pi0)."""
    return ((policy - sampler).exp() * (policy - prior)).mean()


def total_variation(
    target: LogValues, policy: LogValues, sampler: LogValues, log_z: float | Tensor | None = None
) -> Float[Tensor, ""]:
    """Return TV(p, pi) = 1/2 mean |pi / q - p / q|."""
    p = target - (plug_in_log_z(target, sampler) if log_z is None else log_z)
    return ((policy - sampler).exp() - (p - sampler).exp()).abs().mean() / 2


def effective_samples(log_weight: LogValues) -> Float[Tensor, ""]:
    """Return ESS = (sum w)^2 / sum w^2, between 1 and n; 0 if all weights are 0."""
    if bool((log_weight == -math.inf).all()):
        return log_weight.new_zeros(())
    return (2 * log_weight.logsumexp(dim=0) - (2 * log_weight).logsumexp(dim=0)).exp()
