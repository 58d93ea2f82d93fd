"""Exponentials and signs of log-ratios that stay finite."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

HEADROOM = 8.0  # nats between a saturated exponential and the largest number, so that a group's sum is finite
TIE = 1e-12  # log-ratios nearer to 0 count as equal probabilities in float64; in shorter types 4 of their epsilons


def exp(x: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """e^x that saturates at finite x; 0 and inf at the infinite."""
    return torch.where(x.isinf(), x, x.clamp(max=most(x.dtype))).exp()


def expm1(x: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """e^x - 1 that saturates at finite x; -1 and inf at the infinite."""
    return torch.where(x.isinf(), x, x.clamp(max=most(x.dtype))).expm1()


def most(dtype: torch.dtype) -> float:
    """The exponent at which exponentials saturate."""
    return math.log(torch.finfo(dtype).max) - HEADROOM


def power_log(x: Float[Tensor, "*s"], k: float) -> Float[Tensor, "*s"]:
    """(e^(k x) - 1) / k, which is x for k = 0."""
    return x if k == 0 else expm1(k * x) / k


def sign(x: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """-1, 0 or 1; 0 for what rounding alone keeps from 0."""
    tie = TIE if x.dtype == torch.float64 else 4 * torch.finfo(x.dtype).eps
    return torch.where(x.abs() <= tie, 0.0, x.sign())
