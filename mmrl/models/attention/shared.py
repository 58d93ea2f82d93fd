"""Attention in two parts: prompts on themselves, and each answer on its prompt and on itself.

The tokens of a pass lie one behind the other in a single row without padding, so that everything but attention sees
nothing but tokens. Who looks at whom is said by the pass, which travels through the model as the keyword ``shared`` to the
function that is registered with transformers' attention interface. No layer of the model is replaced.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate
from typing import Protocol

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

BASES = ("sdpa", "flash_attention_2")  # what computes the two parts
NAME = "mmrl_shared_like_"


class Attend(Protocol):
    """Who looks at whom. A bound method, because FSDP2 looks into dataclasses among a layer's arguments, and copies them."""

    def __call__(
        self,
        layer: int,
        query: Float[Tensor, "1 h n d"],
        key: Float[Tensor, "1 k n d"],
        value: Float[Tensor, "1 k n d"],
        scaling: float,
        flash: bool,
    ) -> Float[Tensor, "1 n h d"]: ...


@dataclass
class PromptPass:
    """Each prompt looks at itself, causally. Every layer's keys and values are kept."""

    lengths: tuple[int, ...]
    keys: dict[int, Float[Tensor, "1 k n d"]] = field(default_factory=dict)
    values: dict[int, Float[Tensor, "1 k n d"]] = field(default_factory=dict)

    def attend(self, layer, query, key, value, scaling, flash):
        self.keys.setdefault(layer, key)  # gradient checkpointing comes by again; the first are those with a gradient
        self.values.setdefault(layer, value)
        if flash:
            return varlen(query, key, value, self.lengths, self.lengths, scaling)
        each = zip(*(x.split(self.lengths, dim=2) for x in (query, key, value)), strict=True)
        outs = [scaled_dot_product_attention(*qkv, is_causal=True, scale=scaling, enable_gqa=True) for qkv in each]
        return torch.cat(outs, dim=2).transpose(1, 2)


@dataclass(frozen=True)
class Rows:
    """Answers to one prompt, in a pass over many."""

    prompt: slice  # the prompt's places among the kept keys
    start: int  # of the first answer's tokens in the pass
    lengths: tuple[int, ...]

    @property
    def tokens(self) -> slice:
        return slice(self.start, self.start + sum(self.lengths))


@dataclass(frozen=True)
class AnswerPass:
    """Each answer looks at its prompt and, causally, at itself."""

    keys: Sequence[Float[Tensor, "1 k p d"]]  # by layer, of all prompts
    values: Sequence[Float[Tensor, "1 k p d"]]
    rows: tuple[Rows, ...]

    def attend(self, layer, query, key, value, scaling, flash):
        kept, worth = self.keys[layer], self.values[layer]
        if flash:
            own = torch.cat([kept, key], dim=2), torch.cat([worth, value], dim=2)
            places, lengths, widths = self.varlen
            key, value = (x.index_select(2, places.to(x.device)) for x in own)
            return varlen(query, key, value, lengths, widths, scaling)
        outs = []
        for some, (table, back, mask) in zip(self.rows, self.tables, strict=True):
            table, back, mask = (x.to(query.device) for x in (table, back, mask))
            q, k, v = (unpack(x[:, :, some.tokens], table) for x in (query, key, value))
            k, v = (
                torch.cat([x[:, :, some.prompt].expand(len(table), -1, -1, -1), own], dim=2)
                for x, own in ((kept, k), (worth, v))
            )
            outs.append(rearrange(grouped(q, k, v, mask, scaling), "g h t d -> (g t) h d").index_select(0, back))
        return torch.cat(outs)[None]

    @cached_property
    def tables(self) -> list[tuple[Int[Tensor, "g t"], Int[Tensor, " n"], Bool[Tensor, "t l"]]]:
        """For each prompt's answers: where their tokens are, where they go back to, and what token t may look at.

        Short answers are filled up at the right, where none of their own tokens looks, with any token.
        """
        out = []
        for some in self.rows:
            width, total, p = max(some.lengths), sum(some.lengths), some.prompt.stop - some.prompt.start
            starts = torch.tensor([0, *accumulate(some.lengths)][:-1])
            table = (starts[:, None] + torch.arange(width)).clamp(max=total - 1)
            real = torch.arange(width) < torch.tensor(some.lengths)[:, None]
            mask = torch.ones(width, p + width, dtype=torch.bool).tril(p)
            out.append((table, real.flatten().nonzero().flatten(), mask))
        return out

    @cached_property
    def varlen(self) -> tuple[Int[Tensor, " l"], list[int], list[int]]:
        """Places among [prompts, answers] of what each answer looks at; its own tokens; the tokens that it looks at."""
        offset, places, lengths, widths = self.keys[0].shape[2], [], [], []
        for some in self.rows:
            start, prompt = some.start + offset, torch.arange(some.prompt.start, some.prompt.stop)
            for length in some.lengths:
                places += [prompt, torch.arange(start, start + length)]
                lengths.append(length)
                widths.append(len(prompt) + length)
                start += length
        return torch.cat(places), lengths, widths


def unpack(packed: Float[Tensor, "1 h n d"], table: Int[Tensor, "g t"]) -> Float[Tensor, "g h t d"]:
    """Rows of tokens that lie one behind the other."""
    if packed.shape[2] == table.numel():  # all as long as the longest
        return rearrange(packed, "1 h (g t) d -> g h t d", g=len(table))
    return rearrange(packed[0].index_select(1, table.flatten()), "h (g t) d -> g h t d", g=len(table))


def grouped(
    query: Float[Tensor, "g h t d"],
    key: Float[Tensor, "g k l d"],
    value: Float[Tensor, "g k l d"],
    mask: Bool[Tensor, "t l"],
    scaling: float,
) -> Float[Tensor, "g h t d"]:
    """Masked SDPA in which several heads share keys; no masked CUDA kernel knows that, so there keys are repeated."""
    if query.device.type != "cpu":
        times = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(times, dim=1), value.repeat_interleave(times, dim=1)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True)


def varlen(
    query: Float[Tensor, "1 h n d"],
    key: Float[Tensor, "1 k l d"],
    value: Float[Tensor, "1 k l d"],
    lengths: Sequence[int],
    widths: Sequence[int],
    scaling: float,
) -> Float[Tensor, "1 n h d"]:
    """flash-attn over sequences one behind the other: the last query of each looks at all its keys (bottom-right causal).

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
    """Attention as the pass has it; without a pass that of transformers."""
    if shared is None:
        plain = AttentionInterface()[base]
        return plain(module, query, key, value, attention_mask, scaling=scaling, **options)
    narrow = torch.is_autocast_enabled(query.device.type)
    dtype = torch.get_autocast_dtype(query.device.type) if narrow else query.dtype
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    query, key, value = (x.to(dtype) for x in (query, key, value))
    return shared(module.layer_idx, query, key, value, scaling, base == "flash_attention_2"), None


def use_shared(language: nn.Module) -> None:
    """Let a language model take ``shared`` passes; what it does without one stays as it was."""
    for base in BASES:
        AttentionInterface.register(NAME + base, partial(shared_attention, base=base))
        AttentionMaskInterface.register(NAME + base, AttentionMaskInterface()[base])
    language.config._attn_implementation = NAME + language.config._attn_implementation.removeprefix(NAME)


@contextmanager
def untouched(language: nn.Module, base: str | None = None) -> Iterator[None]:
    """Inside, the attention that transformers gave the model, or another; not for a forward pass with a gradient."""
    name = language.config._attn_implementation
    language.config._attn_implementation = base or name.removeprefix(NAME)
    try:
        yield
    finally:
        language.config._attn_implementation = name


def why_not(language: nn.Module) -> str | None:
    """Why a language model cannot share a prompt's keys and values; None where it can."""
    config = language.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"]) - {"full_attention"}
    if kinds:
        return f"its layers have {', '.join(sorted(kinds))}, whose state or window is not a prompt's keys and values"
    if config._attn_implementation.removeprefix(NAME) not in BASES:
        return f"model.attention is {config._attn_implementation}, and only {' and '.join(BASES)} are split in two"
    if getattr(config, "attention_dropout", 0):
        return "its attention has dropout"
    return None
