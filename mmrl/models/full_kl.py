"""The divergence between two models' laws of the next token, over the whole vocabulary, without ever holding all their logits."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mmrl.models.heads import allowed_logits
from mmrl.types import Direction


def token_divergence(
    hidden: Float[Tensor, "m d"],
    states: Float[Tensor, "m d"],
    weight: Float[Tensor, "v d"],
    head: Float[Tensor, "v d"],
    allowed: Bool[Tensor, " v"],
    temperature: float,
    direction: Direction,
    logit_bytes: int,
) -> Float[Tensor, " m"]:
    """KL(policy || reference) of each next token, or the other way round, in nats; the gradient is the policy's alone.

    ``hidden`` and ``weight`` are the policy's last hidden states and head, ``states`` and ``head`` the reference's. Both heads are
    applied chunk by chunk, so that at most ``logit_bytes`` of logits exist at a time: each chunk's are thrown away and made again in
    the backward pass. The distributions are those that are sampled from: allowed tokens, at the sampling temperature.
    """
    size = torch.promote_types(hidden.dtype, torch.float32).itemsize
    rows = max(1, logit_bytes // (2 * len(weight) * size))
    shared = (weight, head.detach(), allowed, temperature, direction)
    chunks = [
        checkpoint(chunk_divergence, mine, its, *shared, use_reentrant=False, preserve_rng_state=False)
        for mine, its in zip(hidden.split(rows), states.detach().split(rows), strict=True)
    ]
    return torch.cat(chunks) if chunks else hidden.new_zeros(0)


def chunk_divergence(
    hidden: Float[Tensor, "m d"],
    states: Float[Tensor, "m d"],
    weight: Float[Tensor, "v d"],
    head: Float[Tensor, "v d"],
    allowed: Bool[Tensor, " v"],
    temperature: float,
    direction: Direction,
) -> Float[Tensor, " m"]:
    """One chunk of ``token_divergence``."""
    policy = allowed_logits(hidden, weight, allowed, temperature).log_softmax(dim=-1)
    reference = allowed_logits(states, head, allowed, temperature).log_softmax(dim=-1).to(policy.dtype)
    first, second = (policy, reference) if direction == "kl_policy_reference" else (reference, policy)
    gap = (first - second).masked_fill(~allowed, 0)
    return (first.exp() * gap).sum(dim=-1)
