"""Draws random numbers that depend on (seed, step, example, sample) alone, never on global state or on the batch."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def uniforms(seed: int, step: int, example: str, samples: Sequence[int], count: int) -> Float[Tensor, "n t"]:
    """Draws ``count`` numbers in [0, 1) for each sample index, [n t], float64, with one counter-based generator each."""
    rows = []
    for sample in samples:
        digest = hashlib.sha256(f"{seed}/{step}/{sample}/{example}".encode()).digest()
        rows.append(np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little"))).random(count))
    return torch.from_numpy(np.stack(rows))


def draw(logits: Float[Tensor, "n v"], uniform: Float[Tensor, " n"], top_p: float = 1.0) -> Tensor:
    """Draws a token for each row, [n], by inversion of its distribution function; only tokens with mass can be drawn."""
    probability = logits.double().softmax(dim=-1)
    if top_p < 1:
        probability = nucleus(probability, top_p)
    total = probability.cumsum(dim=-1)
    index = torch.searchsorted(total, uniform[:, None].to(total) * total[:, -1:], right=True).squeeze(-1)
    heaviest = probability.argmax(dim=-1)
    inside = index.clamp(max=logits.shape[-1] - 1)
    return torch.where(probability.gather(-1, inside[:, None]).squeeze(-1) > 0, inside, heaviest)


def nucleus(probability: Float[Tensor, "n v"], top_p: float) -> Float[Tensor, "n v"]:
    """Keeps the fewest most likely tokens that together have ``top_p``; the rest becomes 0."""
    ordered, places = probability.sort(dim=-1, descending=True)
    keep = ordered.cumsum(dim=-1) - ordered < top_p
    return probability * torch.zeros_like(keep).scatter(-1, places, keep)
