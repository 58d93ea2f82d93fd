"""How far a policy is from a target, estimated from one set of samples of q, with the plug-in Z where none is given.

P is the target before it is normalised; all arguments are log-probabilities of the same completions. Formulas after
Khalifa et al. 2021 (2012.11635). The plug-in Z is the better one here even where the true Z is known: the
weights of a small sample do not have mean 1, and it divides that out.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.functional.targets.partition import log_mean_exp

Logs = Float[Tensor, " n"]


def plug_in_log_z(target: Logs, sampler: Logs) -> Float[Tensor, ""]:
    """The plug-in log Z. Raises ValueError where no sample has mass."""
    if bool((target == -math.inf).all()):
        raise ValueError("target: expected mass on some of the samples, found none; widen the target or draw more")
    return log_mean_exp(target - sampler)


def kl_target(target: Logs, other: Logs, sampler: Logs, log_z: float | Tensor | None = None) -> Float[Tensor, ""]:
    """KL(p || other) = -log Z + 1/Z mean of (P / q) (log P - log other); where P = 0 the term is 0."""
    z = plug_in_log_z(target, sampler) if log_z is None else log_z
    terms = torch.where(target == -math.inf, 0.0, (target - z - sampler).exp() * (target - other))
    return terms.mean() - z


def kl_policy(target: Logs, policy: Logs, sampler: Logs, log_z: float | Tensor | None = None) -> Float[Tensor, ""]:
    """KL(pi || p) = mean of (pi / q) (log pi - log p); inf where the policy has mass outside the support."""
    z = plug_in_log_z(target, sampler) if log_z is None else log_z
    return ((policy - sampler).exp() * (policy - target + z)).mean()


def kl_prior(policy: Logs, prior: Logs, sampler: Logs) -> Float[Tensor, ""]:
    """KL(pi || pi0) = mean of (pi / q) (log pi - log pi0)."""
    return ((policy - sampler).exp() * (policy - prior)).mean()


def total_variation(
    target: Logs, policy: Logs, sampler: Logs, log_z: float | Tensor | None = None
) -> Float[Tensor, ""]:
    """TV(p, pi) = 1/2 mean |pi / q - p / q|."""
    p = target - (plug_in_log_z(target, sampler) if log_z is None else log_z)
    return ((policy - sampler).exp() - (p - sampler).exp()).abs().mean() / 2


def effective_samples(log_weight: Logs) -> Float[Tensor, ""]:
    """ESS = (sum w)^2 / sum w^2, between 1 and n; 0 where all weights are 0."""
    if bool((log_weight == -math.inf).all()):
        return log_weight.new_zeros(())
    return (2 * log_weight.logsumexp(dim=0) - (2 * log_weight).logsumexp(dim=0)).exp()
