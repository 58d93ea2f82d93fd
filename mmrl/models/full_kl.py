"""KL divergence between two models' distributions of the next token, over the whole vocabulary, chunk by chunk."""

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.models.logprobs import LogitRules, chunk_logits, rows_of
from mmrl.types import Direction

TENSORS = 3  # tensors as wide as the vocabulary at a time: one for each model and one to normalise with


def token_divergence(
    hidden: Float[Tensor, "m d"],
    states: Float[Tensor, "m d"],
    weight: Float[Tensor, "v d"],
    head: Float[Tensor, "v d"],
    rules: LogitRules,
    direction: Direction,
) -> Float[Tensor, " m"]:
    """Computes KL(policy || reference) of each next token, or KL(reference || policy), in nats; only the policy gets a gradient.

    ``hidden`` and ``weight`` are the policy's last hidden states and head, ``states`` and ``head`` the reference's. Both heads are
    applied chunk by chunk: tensors as wide as the vocabulary take at most ``max_logit_bytes`` at a time, forward and backward, or as
    much as one token needs. The distributions are over the allowed tokens, at the sampling temperature.
    """
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    rows = rows_of(rules.max_logit_bytes, len(weight), dtype, TENSORS)
    mine, its = (hidden.to(dtype), weight.to(dtype)), (states.detach().to(dtype), head.detach().to(dtype))
    with torch.autocast(hidden.device.type, enabled=False):
        how = rules.allowed, rules.temperature, direction == "kl_policy_reference", rows
        return TokenDivergence.apply(*mine, *its, *how)


class TokenDivergence(torch.autograd.Function):
    """Computes divergences in chunks; the backward pass computes each chunk's logits again.

    d KL(p || q) / d logits of p = p (log p/q - KL(p || q)),        d KL(q || p) / d logits of p = p - q
    """

    @staticmethod
    def forward(ctx, hidden, weight, states, head, allowed, temperature, mine_first, rows):
        values = hidden.new_empty(len(hidden))
        for start in range(0, len(hidden), rows):
            at = slice(start, start + rows)
            values[at] = divergence_of(*both(hidden[at], weight, states[at], head, allowed, temperature), mine_first)
        ctx.save_for_backward(hidden, weight, states, head, allowed, values)
        ctx.temperature, ctx.mine_first, ctx.rows = temperature, mine_first, rows
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        hidden, weight, states, head, allowed, values = ctx.saved_tensors
        to_hidden, to_weight = torch.empty_like(hidden), torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden), ctx.rows):
            at = slice(start, start + ctx.rows)
            wide = both(hidden[at], weight, states[at], head, allowed, ctx.temperature)
            slope = slope_of(*wide, values[at, None] if ctx.mine_first else None)
            slope.mul_(gradient[at, None] / ctx.temperature)
            to_hidden[at] = slope @ weight
            if to_weight is not None:
                to_weight.addmm_(slope.T, hidden[at])
            del wide, slope  # before the next chunk's are made
        return to_hidden, to_weight, *(None,) * 6


def both(hidden: Tensor, weight: Tensor, states: Tensor, head: Tensor, *rules) -> tuple[Tensor, Tensor]:
    """Computes a chunk's log-probabilities by the policy and by the reference."""
    return logs(hidden, weight, *rules), logs(states, head, *rules)


def divergence_of(p: Tensor, q: Tensor, mine_first: bool) -> Float[Tensor, " m"]:
    """Computes KL(p || q) or KL(q || p) from log-probabilities, in place."""
    first, second = (p, q) if mine_first else (q, p)
    gap = second.neg_().add_(first)
    return (first.exp_()[:, None] @ gap[..., None]).flatten()


def slope_of(p: Tensor, q: Tensor, divergence: Tensor | None) -> Float[Tensor, "m v"]:
    """Differentiates by the logits of p, in place, from log-probabilities: KL(p || q) if its value is given, else KL(q || p)."""
    if divergence is None:
        return p.exp_().sub_(q.exp_())
    return q.neg_().add_(p).sub_(divergence).mul_(p.exp_())


def logs(hidden: Tensor, weight: Tensor, allowed: Tensor, temperature: float) -> Float[Tensor, "m v"]:
    """Computes a chunk's log-probabilities; those of banned tokens are finite, with probability 0 in both models."""
    logits = chunk_logits(hidden, weight, allowed, temperature)
    most = logits.amax(dim=-1, keepdim=True)
    logits -= most
    return logits.sub_(logits.logsumexp(dim=-1, keepdim=True))
