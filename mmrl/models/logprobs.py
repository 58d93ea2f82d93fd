"""From hidden states to log-probabilities: only where they are wanted, in chunks, in float32 or better.

Two functions compute the logits of the allowed tokens, and their masks differ. ``allowed_logits`` is for sampling: banned tokens get
-inf, so that neither argmax, softmax nor top-p can choose one. ``chunk_logits`` is for reading: banned tokens get a finite number, so
low that their probability is exactly 0, because entropy and divergence multiply probabilities with logits, and 0 x -inf is not a number.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

TENSORS = 2  # tensors as wide as the vocabulary that ``token_logprobs`` holds at a time


@dataclass(frozen=True, slots=True)
class LogitRules:
    """Says which tokens may come next, at which temperature, and how much memory their logits may take."""

    allowed: Bool[Tensor, " v"]
    placeholders: tuple[int, ...]  # ids of the image and video placeholder tokens
    temperature: float = 1.0
    max_logit_bytes: int = 2**28


def allowed_logits(
    hidden: Float[Tensor, "m d"], weight: Float[Tensor, "v d"], allowed: Bool[Tensor, " v"], temperature: float
) -> Float[Tensor, "m v"]:
    """Computes logits to sample from: divided by the temperature, at least float32, and -inf for banned tokens."""
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    with torch.autocast(hidden.device.type, enabled=False):
        logits = hidden.to(dtype) @ weight.to(dtype).T
    return logits.div_(temperature).masked_fill_(~allowed, -torch.inf)


class TokenLogprobs(torch.autograd.Function):
    """Computes log-probabilities and entropies in chunks; the backward pass computes each chunk's logits again."""

    @staticmethod
    def forward(ctx, hidden, weight, tokens, allowed, temperature, rows):
        total, logprobs, entropy = (hidden.new_empty(len(hidden)) for _ in range(3))
        for start in range(0, len(hidden), rows):
            at = slice(start, start + rows)
            total[at], logprobs[at], entropy[at] = chunk_values(hidden[at], weight, tokens[at], allowed, temperature)
        ctx.save_for_backward(hidden, weight, tokens, allowed, total)
        ctx.temperature, ctx.rows = temperature, rows
        ctx.mark_non_differentiable(entropy)
        return torch.where(allowed[tokens], logprobs - total, -torch.inf), entropy

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient, _):
        hidden, weight, tokens, allowed, total = ctx.saved_tensors
        to_hidden, to_weight = torch.empty_like(hidden), torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden), ctx.rows):
            at = slice(start, start + ctx.rows)
            logits = chunk_logits(hidden[at], weight, allowed, ctx.temperature)
            logits.sub_(total[at, None]).exp_().mul_(
                -gradient[at, None]
            )  # d logprobs / d logits is one-hot - probability
            logits.scatter_add_(-1, tokens[at, None], gradient[at, None]).div_(ctx.temperature)
            to_hidden[at] = logits @ weight
            if to_weight is not None:
                to_weight.addmm_(logits.T, hidden[at])
        return to_hidden, to_weight, None, None, None, None


def chunk_values(
    hidden: Tensor, weight: Tensor, tokens: Tensor, allowed: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes log-sum-exp, the tokens' logits and entropies of a chunk; its wide tensors are freed at return."""
    logits = chunk_logits(hidden, weight, allowed, temperature)
    chosen = logits.gather(-1, tokens[:, None]).squeeze(-1)
    most = logits.amax(dim=-1, keepdim=True)
    logits -= most
    weights = logits.exp()
    mass = weights.sum(dim=-1)
    spread = (weights[:, None] @ logits[..., None]).flatten() / mass
    return mass.log() + most.squeeze(-1), chosen, mass.log() - spread


def chunk_logits(hidden: Tensor, weight: Tensor, allowed: Tensor, temperature: float) -> Float[Tensor, "m v"]:
    """Computes logits to read with: at the sampling temperature, and finite but of probability 0 for banned tokens."""
    low = torch.finfo(hidden.dtype).min / 4  # finite after another logit was subtracted
    return (hidden @ weight.T).div_(temperature).masked_fill_(~allowed, low)


def rows_of(max_logit_bytes: int, vocabulary: int, dtype: torch.dtype, tensors: int) -> int:
    """Tokens per chunk, at least one, so that ``tensors`` tensors as wide as the vocabulary stay within ``max_logit_bytes``."""
    return max(1, max_logit_bytes // (tensors * vocabulary * dtype.itemsize))


def token_logprobs(
    hidden: Float[Tensor, "m d"], tokens: Int[Tensor, " m"], weight: Float[Tensor, "v d"], rules: LogitRules
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """Computes each token's log-probability and the entropy of its distribution, in nats; the entropy carries no gradient.

    Tensors as wide as the vocabulary take at most ``max_logit_bytes`` at a time, forward and backward, or as much as one
    token needs. Log-sum-exp is in float32, or in float64 for float64.
    """
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    with torch.autocast(hidden.device.type, enabled=False):
        rows = rows_of(rules.max_logit_bytes, len(weight), dtype, TENSORS)
        return TokenLogprobs.apply(hidden.to(dtype), weight.to(dtype), tokens, rules.allowed, rules.temperature, rows)
