"""Attention in two passes: prompts attend to themselves, then each answer attends to its prompt and to itself.

The tokens of a pass lie one behind the other in a single row without padding, so that everything but attention works on
tokens alone. The pass decides who attends to whom. It travels through the model as the keyword ``shared`` to the function
that is registered with transformers' attention interface. No layer of the model is replaced.
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


# computes attention of a pass, [1 n h d], from the layer's number, query [1 h n d], key and value [1 k n d], the scaling
# and whether flash-attn is to do it; a bound method, as FSDP2 copies dataclasses that it finds among a layer's arguments
Attend = Callable[[int, Tensor, Tensor, Tensor, float, bool], Tensor]


@dataclass
class PromptPass:
    """Lets each prompt attend to itself, causally, and keeps every layer's keys and values."""

    lengths: tuple[int, ...]
    keys: dict[int, Float[Tensor, "1 k n d"]] = field(default_factory=dict)
    values: dict[int, Float[Tensor, "1 k n d"]] = field(default_factory=dict)

    def attend(self, layer, query, key, value, scaling, flash):
        self.keys.setdefault(layer, key)  # gradient checkpointing comes by again; the first are those with a gradient
        self.values.setdefault(layer, value)
        if flash:
            return varlen(query, key, value, self.lengths, self.lengths, scaling)
        prompts = zip(*(x.split(self.lengths, dim=2) for x in (query, key, value)), strict=True)
        outs = [scaled_dot_product_attention(*qkv, is_causal=True, scale=scaling, enable_gqa=True) for qkv in prompts]
        return torch.cat(outs, dim=2).transpose(1, 2)


@dataclass(frozen=True)
class Rows:
    """Locates the answers to one prompt in a pass over many."""

    prompt: slice  # the prompt's places among the kept keys
    start: int  # of the first answer's tokens in the pass
    lengths: tuple[int, ...]

    @property
    def tokens(self) -> slice:
        return slice(self.start, self.start + sum(self.lengths))


@dataclass(frozen=True)
class AnswerPass:
    """Lets each answer attend to its prompt and, causally, to itself."""

    keys: Sequence[Float[Tensor, "1 k p d"]]  # by layer, of all prompts
    values: Sequence[Float[Tensor, "1 k p d"]]
    rows: tuple[Rows, ...]

    def attend(self, layer, query, key, value, scaling, flash):
        key_cache, value_cache = self.keys[layer], self.values[layer]
        if flash:
            joined = torch.cat([key_cache, key], dim=2), torch.cat([value_cache, value], dim=2)
            places, lengths, widths = self.varlen
            key, value = (x.index_select(2, places.to(x.device)) for x in joined)
            return varlen(query, key, value, lengths, widths, scaling)
        outs = []
        for rows, (table, back, mask) in zip(self.rows, self.tables, strict=True):
            table, back, mask = (x.to(query.device) for x in (table, back, mask))
            q, k, v = (unpack(x[:, :, rows.tokens], table) for x in (query, key, value))
            k, v = (
                torch.cat([cache[:, :, rows.prompt].expand(len(table), -1, -1, -1), own], dim=2)
                for cache, own in ((key_cache, k), (value_cache, v))
            )
            if q.device.type != "cpu":  # no masked kernel can share keys among heads there
                k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
            out = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scaling, enable_gqa=True)
            outs.append(rearrange(out, "g h t d -> (g t) h d").index_select(0, back))
        return torch.cat(outs)[None]

    @cached_property
    def tables(self) -> list[tuple[Int[Tensor, "g t"], Int[Tensor, " n"], Bool[Tensor, "t l"]]]:
        """Tabulates, for each prompt's answers: places of their tokens in the pass, the way back, and what token t may attend to.

        Short answers are filled up with any token at the right, where none of their own tokens looks.
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
        """Lists places among [prompts, answers] that each answer attends to, its number of tokens, and its number of places."""
        offset, places, lengths, widths = self.keys[0].shape[2], [], [], []
        for rows in self.rows:
            start, prompt = rows.start + offset, torch.arange(rows.prompt.start, rows.prompt.stop)
            for length in rows.lengths:
                places += [prompt, torch.arange(start, start + length)]
                lengths.append(length)
                widths.append(len(prompt) + length)
                start += length
        return torch.cat(places), lengths, widths


def unpack(packed: Float[Tensor, "1 h n d"], table: Int[Tensor, "g t"]) -> Float[Tensor, "g h t d"]:
    """Puts tokens that lie one behind the other into rows."""
    if packed.shape[2] == table.numel():  # all as long as the longest
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
    """Runs flash-attn over sequences one behind the other: the last query of each attends to all its keys (bottom-right causal).

    Needs flash-attn 2.1 or newer; before, the causal mask was aligned at the top left.
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
    """Computes attention by the pass, or by transformers if there is none."""
    if shared is None:
        return AttentionInterface()[base](module, query, key, value, attention_mask, scaling=scaling, **options)
    narrow = torch.is_autocast_enabled(query.device.type)
    dtype = torch.get_autocast_dtype(query.device.type) if narrow else query.dtype
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    query, key, value = (x.to(dtype) for x in (query, key, value))
    return shared(module.layer_idx, query, key, value, scaling, base == "flash_attention_2"), None


def use_shared(language: nn.Module) -> None:
    """Lets a language model take ``shared`` passes; without one it computes what it did before."""
    for base in BASES:
        AttentionInterface.register(NAME + base, partial(shared_attention, base=base))
        AttentionMaskInterface.register(NAME + base, AttentionMaskInterface()[base])
    language.config._attn_implementation = NAME + language.config._attn_implementation.removeprefix(NAME)


@contextmanager
def untouched(language: nn.Module, base: str | None = None) -> Iterator[None]:
    """Gives the model back transformers' attention, or ``base``, for a while; not for a forward pass with a gradient."""
    name = language.config._attn_implementation
    language.config._attn_implementation = base or name.removeprefix(NAME)
    try:
        yield
    finally:
        language.config._attn_implementation = name


def why_not(language: nn.Module) -> str | None:
    """Says why a language model cannot share a prompt's keys and values; None if it can."""
    config = language.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"]) - {"full_attention"}
    if kinds:
        return f"its layers have {', '.join(sorted(kinds))}, whose state or window is not a prompt's keys and values"
    if config._attn_implementation.removeprefix(NAME) not in BASES:
        return f"model.attn_implementation is {config._attn_implementation}, and only {' and '.join(BASES)} are split in two"
    if getattr(config, "attention_dropout", 0):
        return "its attention has dropout"
    return None
