"""Compute log-probabilities from hidden states, for selected tokens only, in chunks, in float32 or wider.

Two functions compute the logits of the allowed tokens, with different masks. ``allowed_logits`` is for sampling: banned tokens get
-inf, so that argmax, softmax and top-p cannot choose them. ``chunk_logits`` is for log-probs: banned tokens get a finite number that is
so low that their probability is exactly 0, because entropy and divergence multiply probabilities by logits, and 0 x -inf is NaN.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

TENSORS = 2  # [rows, vocabulary] tensors that exist at a time in ``token_logprobs``


@dataclass(frozen=True, slots=True)
class LogitRules:
    """The allowed next tokens, the temperature, and the memory limit of logits."""

    allowed: Bool[Tensor, " v"]  # False bans a token
    placeholders: tuple[int, ...]  # ids of the image and video placeholder tokens
    temperature: float = 1.0
    max_logit_bytes: int = 2**28


def allowed_logits(
    hidden: Float[Tensor, "m d"], weight: Float[Tensor, "v d"], allowed: Bool[Tensor, " v"], temperature: float
) -> Float[Tensor, "m v"]:
    """Compute logits for sampling: divided by the temperature, in float32 or wider, and -inf for banned tokens."""
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    with torch.autocast(hidden.device.type, enabled=False):
        logits = hidden.to(dtype) @ weight.to(dtype).T
    return logits.div_(temperature).masked_fill_(~allowed, -torch.inf)


class TokenLogprobs(torch.autograd.Function):
    """Compute log-probabilities and entropies in chunks; the backward pass computes each chunk's logits again."""

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
            # d logprobs / d logits is one-hot - probability
            logits.sub_(total[at, None]).exp_().mul_(-gradient[at, None])
            logits.scatter_add_(-1, tokens[at, None], gradient[at, None]).div_(ctx.temperature)
            to_hidden[at] = logits @ weight
            if to_weight is not None:
                to_weight.addmm_(logits.T, hidden[at])
        return to_hidden, to_weight, None, None, None, None


def chunk_values(
    hidden: Tensor, weight: Tensor, tokens: Tensor, allowed: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute log-sum-exp, the tokens' logits and entropies of a chunk; its [m v] tensors are freed at return."""
    logits = chunk_logits(hidden, weight, allowed, temperature)
    chosen = logits.gather(-1, tokens[:, None]).squeeze(-1)
    most = logits.amax(dim=-1, keepdim=True)
    logits -= most
    weights = logits.exp()
    mass = weights.sum(dim=-1)
    spread = (weights[:, None] @ logits[..., None]).flatten() / mass
    return mass.log() + most.squeeze(-1), chosen, mass.log() - spread


def chunk_logits(hidden: Tensor, weight: Tensor, allowed: Tensor, temperature: float) -> Float[Tensor, "m v"]:
    """Compute logits for log-probs, at the sampling temperature; banned tokens get a finite logit with probability 0."""
    low = torch.finfo(hidden.dtype).min / 4  # it stays finite after another logit is subtracted
    return (hidden @ weight.T).div_(temperature).masked_fill_(~allowed, low)


def rows_of(max_logit_bytes: int, vocabulary: int, dtype: torch.dtype, tensors: int) -> int:
    """Return how many rows of ``tensors`` [rows, vocabulary] tensors fit into ``max_logit_bytes``; at least one."""
    return max(1, max_logit_bytes // (tensors * vocabulary * dtype.itemsize))


def token_logprobs(
    hidden: Float[Tensor, "m d"], tokens: Int[Tensor, " m"], weight: Float[Tensor, "v d"], rules: LogitRules
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """Compute each token's log-probability and the entropy of its distribution, in nats; the entropy has no gradient.

    The [rows, vocabulary] tensors need at most ``max_logit_bytes`` at a time, forward and backward, or the memory of one
    token. Log-sum-exp is in float32, or in float64 for float64.
    """
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    with torch.autocast(hidden.device.type, enabled=False):
        rows = rows_of(rules.max_logit_bytes, len(weight), dtype, TENSORS)
        return TokenLogprobs.apply(hidden.to(dtype), weight.to(dtype), tokens, rules.allowed, rules.temperature, rows)
