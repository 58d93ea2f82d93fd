"""The KL divergence between two models' next-token distributions over the full vocabulary, computed in chunks."""

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.models.logprobs import LogitRules, chunk_logits, rows_of
from mmrl.types import Direction

TENSORS = 3  # [rows, vocabulary] tensors that exist at a time: one for each model and one for the normalisation


def token_divergence(
    hidden: Float[Tensor, "m d"],
    states: Float[Tensor, "m d"],
    weight: Float[Tensor, "v d"],
    head: Float[Tensor, "v d"],
    rules: LogitRules,
    direction: Direction,
) -> Float[Tensor, " m"]:
    """Compute KL(policy || reference) or KL(reference || policy) for each token, in nats; only the policy gets a gradient.

    ``hidden`` and ``weight`` are the policy's last hidden states and output head, ``states`` and ``head`` the reference's. Both
    heads are applied in chunks: the [rows, vocabulary] tensors need at most ``max_logit_bytes`` at a time, forward and backward,
    or the memory of one token. The distributions are over the allowed tokens, at the sampling temperature.
    """
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    rows = rows_of(rules.max_logit_bytes, len(weight), dtype, TENSORS)
    policy, reference = (hidden.to(dtype), weight.to(dtype)), (states.detach().to(dtype), head.detach().to(dtype))
    with torch.autocast(hidden.device.type, enabled=False):
        settings = rules.allowed, rules.temperature, direction == "kl_policy_reference", rows
        return TokenDivergence.apply(*policy, *reference, *settings)


class TokenDivergence(torch.autograd.Function):
    """Compute divergences in chunks; the backward pass computes each chunk's logits again.

    d KL(p || q) / d logits of p = p (log p/q - KL(p || q)),        d KL(q || p) / d logits of p = p - q
    """

    @staticmethod
    def forward(ctx, hidden, weight, states, head, allowed, temperature, policy_first, rows):
        values = hidden.new_empty(len(hidden))
        for start in range(0, len(hidden), rows):
            at = slice(start, start + rows)
            values[at] = divergence_of(*both(hidden[at], weight, states[at], head, allowed, temperature), policy_first)
        ctx.save_for_backward(hidden, weight, states, head, allowed, values)
        ctx.temperature, ctx.policy_first, ctx.rows = temperature, policy_first, rows
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        hidden, weight, states, head, allowed, values = ctx.saved_tensors
        to_hidden, to_weight = torch.empty_like(hidden), torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden), ctx.rows):
            at = slice(start, start + ctx.rows)
            wide = both(hidden[at], weight, states[at], head, allowed, ctx.temperature)
            slope = slope_of(*wide, values[at, None] if ctx.policy_first else None)
            slope.mul_(gradient[at, None] / ctx.temperature)
            to_hidden[at] = slope @ weight
            if to_weight is not None:
                to_weight.addmm_(slope.T, hidden[at])
            del wide, slope  # before the next chunk's are made
        return to_hidden, to_weight, *(None,) * 6


def both(hidden: Tensor, weight: Tensor, states: Tensor, head: Tensor, *rules) -> tuple[Tensor, Tensor]:
    """Compute a chunk's log-probabilities by the policy and by the reference, each [m v]."""
    return chunk_logprobs(hidden, weight, *rules), chunk_logprobs(states, head, *rules)


def divergence_of(p: Tensor, q: Tensor, policy_first: bool) -> Float[Tensor, " m"]:
    """Compute KL(p || q), or KL(q || p) unless ``policy_first``, from log-probabilities, in place."""
    first, second = (p, q) if policy_first else (q, p)
    gap = second.neg_().add_(first)
    return (first.exp_()[:, None] @ gap[..., None]).flatten()


def slope_of(p: Tensor, q: Tensor, divergence: Tensor | None) -> Float[Tensor, "m v"]:
    """Compute the gradient by the logits of p, in place: of KL(p || q) if its value is given, else of KL(q || p).

    ``p`` and ``q`` are log-probabilities.
    """
    if divergence is None:
        return p.exp_().sub_(q.exp_())
    return q.neg_().add_(p).sub_(divergence).mul_(p.exp_())


def chunk_logprobs(hidden: Tensor, weight: Tensor, allowed: Tensor, temperature: float) -> Float[Tensor, "m v"]:
    """Compute a chunk's log-probabilities; those of banned tokens are finite, with probability 0 in both models."""
    logits = chunk_logits(hidden, weight, allowed, temperature)
    most = logits.amax(dim=-1, keepdim=True)
    logits -= most
    return logits.sub_(logits.logsumexp(dim=-1, keepdim=True))
