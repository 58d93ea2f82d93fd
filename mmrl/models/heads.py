"""From hidden states to log-probabilities: only where they are wanted, in chunks, in float32 or better."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mmrl.types import Tokens


def allowed_logits(
    hidden: Float[Tensor, "m d"], weight: Float[Tensor, "v d"], allowed: Bool[Tensor, " v"], temperature: float
) -> Float[Tensor, "m v"]:
    """Logits of the allowed tokens at the sampling temperature, -inf elsewhere; at least float32."""
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    with torch.autocast(hidden.device.type, enabled=False):
        logits = hidden.to(dtype) @ weight.to(dtype).T
    return (logits / temperature).masked_fill(~allowed, -torch.inf)


def token_logp(
    hidden: Float[Tensor, "m d"],
    tokens: Int[Tensor, " m"],
    weight: Float[Tensor, "v d"],
    allowed: Bool[Tensor, " v"],
    temperature: float,
    logit_bytes: int,
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """The log-probability of each token and the entropy of its distribution (nats).

    At most ``logit_bytes`` of logits exist at a time: each chunk's are thrown away and made again in the backward pass.
    """
    size = torch.promote_types(hidden.dtype, torch.float32).itemsize
    rows = max(1, logit_bytes // (len(weight) * size))
    chunks = [
        checkpoint(chunk_logp, part, ids, weight, allowed, temperature, use_reentrant=False, preserve_rng_state=False)
        for part, ids in zip(hidden.split(rows), tokens.split(rows), strict=True)
    ]
    if not chunks:
        empty = hidden.new_zeros(0, dtype=torch.promote_types(hidden.dtype, torch.float32))
        return empty, empty
    logp, entropy = zip(*chunks, strict=True)
    return torch.cat(logp), torch.cat(entropy)


def chunk_logp(
    hidden: Float[Tensor, "m d"],
    tokens: Int[Tensor, " m"],
    weight: Float[Tensor, "v d"],
    allowed: Bool[Tensor, " v"],
    temperature: float,
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """One chunk of ``token_logp``."""
    logits = allowed_logits(hidden, weight, allowed, temperature)
    total = logits.logsumexp(dim=-1)
    logp = logits.gather(-1, tokens[:, None]).squeeze(-1) - total
    with torch.no_grad():
        probability = (logits - total[:, None]).exp()
        entropy = total - (probability * logits.masked_fill(~allowed, 0)).sum(dim=-1)
    return logp, entropy


def scatter(
    where: Bool[Tensor, "n t"],
    logp: Float[Tensor, " m"],
    entropy: Float[Tensor, " m"],
    divergence: Float[Tensor, " m"] | None = None,
) -> Tokens:
    """Values of the wanted tokens back in their places, 0 elsewhere."""
    zeros = logp.new_zeros(where.shape)
    found = (None if value is None else zeros.masked_scatter(where, value.to(zeros)) for value in (entropy, divergence))
    return Tokens(zeros.masked_scatter(where, logp), *found)


def placed(states: Float[Tensor, "m d"], where: Bool[Tensor, "n t"]) -> Float[Tensor, "n t d"]:
    """States of the wanted tokens in their places, 0 elsewhere."""
    out = states.new_zeros(*where.shape, states.shape[-1])
    out[where] = states
    return out
