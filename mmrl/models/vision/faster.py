"""Two faster implementations inside a vision tower, with the results of transformers' own.

Qwen's towers attend inside frames and windows only. Without flash-attn, transformers calls its attention once for each of
them, hundreds of times per layer for a batch of short clips. Here blocks of equal length become the batch of one SDPA call. It
is registered with transformers' attention interface; its name contains "flash" because only then does the interface pass the
blocks' boundaries.

The patch embedding is a convolution whose kernel is as large as the patch, which is one matrix product. On a CPU the convolution
takes three times as long (57 ms against 16 for 4,096 patches of 1,176 numbers, forward, one thread).
"""

from itertools import pairwise
from types import MethodType

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

NAME = "mmrl_blocks_like_flash"


def block_attention(
    module: nn.Module,
    query: Float[Tensor, "1 heads n d"],
    key: Float[Tensor, "1 heads n d"],
    value: Float[Tensor, "1 heads n d"],
    attention_mask: None = None,
    scaling: float | None = None,
    cu_seq_lens_q: Int[Tensor, " b"] | None = None,
    **_,
) -> tuple[Float[Tensor, "1 n heads d"], None]:
    """Compute softmax attention within each of the concatenated blocks, whose boundaries are ``cu_seq_lens_q``."""
    bounds = [0, query.shape[2]] if cu_seq_lens_q is None else cu_seq_lens_q.tolist()
    starts_by_length: dict[int, list[int]] = {}
    for start, end in pairwise(bounds):
        starts_by_length.setdefault(end - start, []).append(start)
    starts_by_length.pop(0, None)

    def attend(length: int, *packed: Float[Tensor, "1 heads n d"]) -> Float[Tensor, "1 n heads d"]:
        batch = (rearrange(x, "1 h (b l) d -> b h l d", l=length) for x in packed)
        return rearrange(functional.scaled_dot_product_attention(*batch, scale=scaling), "b h l d -> 1 (b l) h d")

    if len(starts_by_length) == 1:
        return attend(next(iter(starts_by_length)), query, key, value), None
    out = query.new_empty(query.shape[0], query.shape[2], query.shape[1], query.shape[3])
    for length, starts in starts_by_length.items():
        at = (torch.tensor(starts)[:, None] + torch.arange(length)).flatten().to(query.device)
        out = out.index_copy(1, at, attend(length, query[:, :, at], key[:, :, at], value[:, :, at]))
    return out, None


def use_blocks(tower: nn.Module) -> None:
    """Make a vision tower with SDPA attention call ``block_attention``."""
    if tower.config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, block_attention)
        tower.config._attn_implementation = NAME


def as_product(self: nn.Module, hidden_states: Float[Tensor, "n patch"]) -> Float[Tensor, "n d"]:
    """Embed patches by a matrix product; the numbers of a patch and of the kernel have the same order."""
    weight = self.proj.weight
    return functional.linear(hidden_states.to(weight.dtype), weight.flatten(1), self.proj.bias)


def use_product(tower: nn.Module) -> None:
    """Make a vision tower embed its patches by ``as_product``. Weights and their names do not change."""
    tower.patch_embed.forward = MethodType(as_product, tower.patch_embed)
