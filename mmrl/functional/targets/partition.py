"""Estimates of Z = sum_x P(x), in log space, from samples x_i of q with log-weights w_i = log P(x_i) - log q(x_i).

What each does to the gradient of a divergence, which tests/algorithms/test_fdpg.py shows: the plug-in is biased and bounded; the
leave-one-out estimate is independent of the sample that it divides, so that for powers the direction is unbiased and the scale
heavy-tailed; an offline estimate is bounded, and valid for as long as the target is the same.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.functional.targets.factors import Bounds

FLOOR = 1e-4  # stands for Z where no sample has mass, as in the code of alpha-DPG

Partition = Literal["none", "plug_in", "leave_one_out", "running", "offline"]


def log_mean_exp(log_weight: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """log of the mean of exp; -inf where all are."""
    return log_weight.logsumexp(dim=0) - math.log(len(log_weight))


def plug_in(log_weight: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """log of the mean weight of the whole group, for each of its members."""
    return log_mean_exp(log_weight).expand(len(log_weight))


def leave_one_out(
    log_weight: Float[Tensor, " n"], past: Float[Tensor, ""] | None = None, count: float = 0.0
) -> Float[Tensor, " n"]:
    """log of the mean weight of the other members, pooled with ``count`` earlier samples whose weights add up to exp(past).

    Raises ValueError for a single sample without a past, which has no others.
    """
    n = len(log_weight)
    if n - 1 + count <= 0:
        raise ValueError(f"leave-one-out Z: expected 2 or more completions, found {n}; raise rollout.group_size")
    others = log_weight.expand(n, n).masked_fill(torch.eye(n, dtype=torch.bool, device=log_weight.device), -math.inf)
    if past is not None:
        others = torch.cat([others, past.to(log_weight).expand(n, 1)], dim=1)
    return others.logsumexp(dim=1) - math.log(n - 1 + count)


def offline(log_weight: Float[Tensor, " n"], bounds: Bounds | None = None) -> Float[Tensor, ""]:
    """log Z from the log-weights log P - log pi0 of n samples of the reference.

    With known bounds one more sample is added, half of it at each bound, so that few samples do not make Z extreme: for
    a 0/1 constraint with k successes that is (k + 1/2) / (n + 1), for a tilt of a 0/1 reward 1 + s0 (e^(1/beta) - 1) with the
    same s0.
    """
    if bounds is None:
        return log_mean_exp(log_weight)
    added = log_weight.new_tensor(bounds) - math.log(2)
    return torch.cat([log_weight, added]).logsumexp(dim=0) - math.log(len(log_weight) + 1)


def usable(log_z: Float[Tensor, " n"], bounds: Bounds | None = None) -> Float[Tensor, " n"]:
    """log Z that can be divided by: log FLOOR where nothing had mass; cut to what is possible where bounds are given."""
    log_z = torch.where(log_z == -math.inf, math.log(FLOOR), log_z)
    return log_z if bounds is None else log_z.clamp(*bounds)
