"""Attention in two passes: prompts attend to themselves, then each completion attends to its prompt and to itself.

The tokens of a pass are concatenated in a single row without padding, so that everything but attention works on tokens
alone. The pass decides which token attends to which. The model hands it on as the keyword ``shared`` to the function that
is registered with transformers' attention interface. No layer of the model is replaced.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

BASES = ("sdpa", "flash_attention_2")  # implementations that compute the two passes
NAME = "mmrl_shared_like_"


# computes the attention of a pass, [1 n h d], from the layer's number, query [1 h n d], key and value [1 k n d], the scaling
# and a flag for flash-attn; it is a bound method because FSDP2 copies dataclasses that it finds among a layer's arguments
Attend = Callable[[int, Tensor, Tensor, Tensor, float, bool], Tensor]


@dataclass
class PromptPass:
    """Attend causally inside each prompt, and store every layer's keys and values."""

    lengths: tuple[int, ...]
    keys: dict[int, Float[Tensor, "1 k n d"]] = field(default_factory=dict)
    values: dict[int, Float[Tensor, "1 k n d"]] = field(default_factory=dict)

    def attend(self, layer, query, key, value, scaling, flash):
        self.keys.setdefault(layer, key)  # gradient checkpointing calls again; the first tensors carry the gradient
        self.values.setdefault(layer, value)
        if flash:
            return varlen(query, key, value, self.lengths, self.lengths, scaling)
        prompts = zip(*(x.split(self.lengths, dim=2) for x in (query, key, value)), strict=True)
        outs = [scaled_dot_product_attention(*qkv, is_causal=True, scale=scaling, enable_gqa=True) for qkv in prompts]
        return torch.cat(outs, dim=2).transpose(1, 2)


@dataclass(frozen=True)
class Rows:
    """The place of one prompt's completions in a pass over the completions of several prompts."""

    prompt: slice  # the slice of the prompt in the stored keys
    start: int  # the index of the first completion's first token in the pass
    lengths: tuple[int, ...]  # the number of tokens of each completion

    @property
    def tokens(self) -> slice:
        return slice(self.start, self.start + sum(self.lengths))


@dataclass(frozen=True)
class CompletionPass:
    """Attend from each completion to its prompt and, causally, to itself."""

    keys: Sequence[Float[Tensor, "1 k p d"]]  # by layer, of all prompts
    values: Sequence[Float[Tensor, "1 k p d"]]
    rows: tuple[Rows, ...]

    def attend(self, layer, query, key, value, scaling, flash):
        key_cache, value_cache = self.keys[layer], self.values[layer]
        if flash:
            joined = torch.cat([key_cache, key], dim=2), torch.cat([value_cache, value], dim=2)
            indices, lengths, widths = self.varlen
            key, value = (x.index_select(2, indices.to(x.device)) for x in joined)
            return varlen(query, key, value, lengths, widths, scaling)
        outs = []
        for rows, (table, back, mask) in zip(self.rows, self.tables, strict=True):
            table, back, mask = (x.to(query.device) for x in (table, back, mask))
            q, k, v = (unpack(x[:, :, rows.tokens], table) for x in (query, key, value))
            k, v = (
                torch.cat([cache[:, :, rows.prompt].expand(len(table), -1, -1, -1), own], dim=2)
                for cache, own in ((key_cache, k), (value_cache, v))
            )
            if q.device.type != "cpu":  # no masked GPU kernel can share keys among heads
                k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
            out = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scaling, enable_gqa=True)
            outs.append(rearrange(out, "g h t d -> (g t) h d").index_select(0, back))
        return torch.cat(outs)[None]

    @cached_property
    def tables(self) -> list[tuple[Int[Tensor, "g t"], Int[Tensor, " n"], Bool[Tensor, "t l"]]]:
        """Return, for each prompt: the index table of its completions' tokens, the inverse indices, and the attention mask.

        Short completions are padded at the right with arbitrary tokens; the causal mask hides these.
        """
        out = []
        for rows in self.rows:
            width, total, p = max(rows.lengths), sum(rows.lengths), rows.prompt.stop - rows.prompt.start
            starts = torch.tensor([0, *accumulate(rows.lengths)][:-1])
            table = (starts[:, None] + torch.arange(width)).clamp(max=total - 1)
            real = torch.arange(width) < torch.tensor(rows.lengths)[:, None]
            mask = torch.ones(width, p + width, dtype=torch.bool).tril(p)
            out.append((table, real.flatten().nonzero().flatten(), mask))
        return out

    @cached_property
    def varlen(self) -> tuple[Int[Tensor, " l"], list[int], list[int]]:
        """Return indices into [prompts, completions] that each completion attends to, its number of tokens and of indices."""
        offset, indices, lengths, widths = self.keys[0].shape[2], [], [], []
        for rows in self.rows:
            start, prompt = rows.start + offset, torch.arange(rows.prompt.start, rows.prompt.stop)
            for length in rows.lengths:
                indices += [prompt, torch.arange(start, start + length)]
                lengths.append(length)
                widths.append(len(prompt) + length)
                start += length
        return torch.cat(indices), lengths, widths


def unpack(packed: Float[Tensor, "1 h n d"], table: Int[Tensor, "g t"]) -> Float[Tensor, "g h t d"]:
    """Split concatenated tokens into rows, by an index table."""
    if packed.shape[2] == table.numel():  # all rows have the same length
        return rearrange(packed, "1 h (g t) d -> g h t d", g=len(table))
    return rearrange(packed[0].index_select(1, table.flatten()), "h (g t) d -> g h t d", g=len(table))


def varlen(
    query: Float[Tensor, "1 h n d"],
    key: Float[Tensor, "1 k l d"],
    value: Float[Tensor, "1 k l d"],
    lengths: Sequence[int],
    widths: Sequence[int],
    scaling: float,
) -> Float[Tensor, "1 n h d"]:
    """Run flash-attn over concatenated sequences; the last query of each attends to all its keys (bottom-right causal mask).

    It needs flash-attn 2.1 or newer: older versions align the causal mask at the top left.
    """
    from flash_attn import flash_attn_varlen_func

    ends = [torch.tensor([0, *accumulate(x)], dtype=torch.int32, device=query.device) for x in (lengths, widths)]
    packed = (rearrange(x, "1 h n d -> n h d") for x in (query, key, value))
    return flash_attn_varlen_func(*packed, *ends, max(lengths), max(widths), softmax_scale=scaling, causal=True)[None]


def shared_attention(
    module: nn.Module,
    query: Float[Tensor, "b h n d"],
    key: Float[Tensor, "b k l d"],
    value: Float[Tensor, "b k l d"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    shared: Attend | None = None,
    base: str = "sdpa",
    **options,
) -> tuple[Float[Tensor, "b n h d"], None]:
    """Compute attention by the pass ``shared``, or by transformers' ``base`` if it is None."""
    if shared is None:
        return AttentionInterface()[base](module, query, key, value, attention_mask, scaling=scaling, **options)
    narrow = torch.is_autocast_enabled(query.device.type)
    dtype = torch.get_autocast_dtype(query.device.type) if narrow else query.dtype
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    query, key, value = (x.to(dtype) for x in (query, key, value))
    return shared(module.layer_idx, query, key, value, scaling, base == "flash_attention_2"), None


def use_shared(language: nn.Module) -> None:
    """Make a language model accept the keyword ``shared``; calls without it give the same results as before."""
    for base in BASES:
        AttentionInterface.register(NAME + base, partial(shared_attention, base=base))
        AttentionMaskInterface.register(NAME + base, AttentionMaskInterface()[base])
    language.config._attn_implementation = NAME + language.config._attn_implementation.removeprefix(NAME)


@contextmanager
def original_attention(language: nn.Module, base: str | None = None) -> Iterator[None]:
    """Restore transformers' attention, or set ``base``, inside the block; for forward passes without a gradient only."""
    name = language.config._attn_implementation
    language.config._attn_implementation = base or name.removeprefix(NAME)
    try:
        yield
    finally:
        language.config._attn_implementation = name


def reason_not_shared(language: nn.Module) -> str | None:
    """Return why a language model cannot share a prompt's keys and values, or None if it can."""
    config = language.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"]) - {"full_attention"}
    if kinds:
        return f"its layers have {', '.join(sorted(kinds))}, whose state or window is not a prompt's keys and values"
    if config._attn_implementation.removeprefix(NAME) not in BASES:
        return f"model.attn_implementation is {config._attn_implementation}, and only {' and '.join(BASES)} are split in two"
    if getattr(config, "attention_dropout", 0):
        return "its attention has dropout"
    return None
