"""Checks of the tensors that a user's code gives: type and shape alone, so that they cost nothing beside a forward pass.

Without them a tensor of a wrong shape may be broadcast, and the run learns from other numbers than its author meant.
"""

from typing import Any

import torch
from torch import Tensor


def check_shape(value: Any, expected: tuple[int, ...], axes: str, where: str) -> None:
    """Raise ValueError unless a value is a tensor of the expected shape. ``axes`` names the axes, ``where`` what gave it."""
    if not isinstance(value, Tensor):
        found = type(value).__name__
    elif tuple(value.shape) != tuple(expected):
        found = str(list(value.shape))
    else:
        return
    raise ValueError(f"{where}: expected a tensor [{axes}] of shape {list(expected)}, found {found}")


def check_loss(loss: Any, logprobs: Tensor, where: str) -> None:
    """Raise ValueError unless a loss has a number for each token, and a gradient if the log-probabilities have one."""
    check_shape(loss, logprobs.shape, "n t", where)
    if logprobs.requires_grad and not loss.requires_grad:
        raise ValueError(
            f"{where}: expected a loss that is differentiable in policy.logprobs, found one without gradient; "
            "compute it from policy.logprobs, without detach and without torch.no_grad"
        )


def check_mask(mask: Any, expected: tuple[int, ...], axes: str, where: str) -> None:
    """Raise ValueError unless a value is a tensor of booleans of the expected shape."""
    check_shape(mask, expected, axes, where)
    if mask.dtype != torch.bool:
        raise ValueError(f"{where}: expected booleans, found {mask.dtype}; write mask.bool()")
