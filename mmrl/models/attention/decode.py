"""Decode many completions token by token, with one shared copy of each prompt's keys and values, or one copy per row."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from mmrl.models.attention.prefix import NO_MASK, Prefix
from mmrl.models.attention.unshared import padded_pass
from mmrl.models.language import Language
from mmrl.models.transformers_versions import cached
from mmrl.models.vision.tower import EncodedPrompts

# one part of a softmax: weighted values, the sum of the weights, and the exponent by which both are divided
Part = tuple[Tensor, Tensor, Tensor]
FIRST = 32  # the number of tokens for which a row's own keys and values have room at the start


@dataclass(slots=True)
class SharedPrefixDecoder:
    """Decode rows that attend to one copy of their prompt's keys and values, and to their own.

    The picture shows one step with 2 prompts x 3 rows; the last row has ended and was removed. Rows are sorted by prompt. Each
    prompt has as many slots as the largest group has rows, so that one product computes the scores of all its queries::

        row            0   1   2   3   4        the queries, one token a row
        prompt         0   0   0   1   1

        slot           0   1   2 | 3   4   5    2 prompts x 3 slots
        row_of_slot    0   1   2 | 3   4   0    an empty slot repeats row 0; nobody reads its result
        slot_of_row    0   1   2   3   4

        prompt 0  [p p p p p p p]  x  [q0 q1 q2]         own keys   row 0 [t t t .]  x  q0
        prompt 1  [p p p p - - -]  x  [q3 q4 q0]         and        row 1 [t t t .]  x  q1
                           mask: - is never attended     values     ...

        attention of a row = merged(its slot's part over the prompt, its part over its own tokens)
    """

    language: Language
    prompt: Int[Tensor, " n"]  # the index of each row's prompt
    last: Float[Tensor, "n d"]  # hidden states from which the first tokens are predicted
    keys: list[Float[Tensor, "q k p d"]]  # the prompts' keys by layer, padded at the right
    values: list[Float[Tensor, "q k p d"]]
    mask: Bool[Tensor, "q p"] | None  # False marks padded keys; None if there is no padding
    own: list[tuple[Float[Tensor, "n k t d"], Float[Tensor, "n k t d"]]] = field(default_factory=list)  # by layer
    length: int = 0  # tokens that every row has
    row_of_slot: Int[Tensor, " s"] = field(init=False)
    slot_of_row: Int[Tensor, " n"] = field(init=False)

    @classmethod
    def of(cls, language: Language, prefix: Prefix, prompt: Int[Tensor, " n"]) -> "SharedPrefixDecoder":
        """Start one row for each entry of ``prompt``, the index of the row's prompt."""
        lengths = torch.tensor([at.stop - at.start for at in prefix.prompt_slices], device=prompt.device)
        mask = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
        keys, values = ([padded(x, prefix.prompt_slices) for x in layers] for layers in (prefix.keys, prefix.values))
        rows = cls(language, prompt, prefix.last[prompt], keys, values, None if mask.all() else mask)
        rows.assign_slots()
        return rows

    def assign_slots(self) -> None:
        """Assign each row to a slot of its prompt, and drop prompts without rows."""
        used, index, counts = self.prompt.unique_consecutive(return_inverse=True, return_counts=True)
        if len(used) < len(self.keys[0]):
            self.keys, self.values = ([x[used] for x in layers] for layers in (self.keys, self.values))
            self.mask = None if self.mask is None else self.mask[used]
            self.prompt = index
        slots, starts = int(counts.max()), counts.cumsum(0) - counts
        rows = torch.arange(len(self.prompt), device=counts.device)
        self.slot_of_row = index * slots + rows - starts[index]
        empty = torch.zeros(len(used) * slots, dtype=torch.long, device=counts.device)
        self.row_of_slot = empty.index_copy(0, self.slot_of_row, rows)

    def keep(self, rows: Int[Tensor, " m"]) -> None:
        """Drop all rows but these."""
        self.prompt = self.prompt[rows]
        self.own = [(k[rows], v[rows]) for k, v in self.own]
        self.assign_slots()

    def advance(self, tokens: Int[Tensor, " n"], positions: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Append one token to each row and return its last hidden state."""
        self.language.work.forward_tokens += len(tokens)
        embedded = self.language.tokens(tokens[None])
        positions = positions.expand(3, 1, -1)
        out = self.language.forward(embedded, positions, attention_mask=NO_MASK, shared=self.attend)
        self.length += 1
        return out.last_hidden_state[0]

    def attend(self, layer, query, key, value, scaling, flash):
        """Attend from each row to its prompt and to its own tokens; g: slots of a prompt, r: query heads per key head."""
        keys, values = self.append(layer, key, value)
        query = rearrange(query[0] * scaling, "(k r) n d -> n k r d", k=keys.shape[1])
        over_own = partial_attention(query, keys, values)
        in_slots = rearrange(query[self.row_of_slot], "(q g) k r d -> q k (g r) d", q=len(self.keys[0]))
        mask = None if self.mask is None else self.mask[:, None, None]
        of_slots = partial_attention(in_slots, self.keys[layer], self.values[layer], mask)
        heads = query.shape[2]
        over_prompt = tuple(rearrange(x, "q k (g r) d -> (q g) k r d", r=heads)[self.slot_of_row] for x in of_slots)
        return rearrange(merge_parts(over_own, over_prompt), "n k r d -> 1 n (k r) d").to(value.dtype)

    def append(
        self, layer: int, key: Float[Tensor, "1 k n d"], value: Float[Tensor, "1 k n d"]
    ) -> tuple[Tensor, Tensor]:
        """Append the new token to the rows' own keys and values and return them, each [n k t d].

        Their memory doubles when it is full.
        """
        new = [rearrange(x, "1 k n d -> n k d") for x in (key, value)]
        if len(self.own) <= layer:
            self.own.append(tuple(x.new_zeros(x.shape[0], x.shape[1], FIRST, x.shape[2]) for x in new))
        if self.length == self.own[layer][0].shape[2]:
            self.own[layer] = tuple(torch.cat([x, torch.zeros_like(x)], dim=2) for x in self.own[layer])
        for own, x in zip(self.own[layer], new, strict=True):
            own[:, :, self.length] = x
        return tuple(x[:, :, : self.length + 1] for x in self.own[layer])


def padded(packed: Float[Tensor, "1 k n d"], places: Sequence[slice]) -> Float[Tensor, "q k p d"]:
    """Split concatenated prompts into rows, padded at the right."""
    rows = pad_sequence([rearrange(packed[0, :, at], "k p d -> p k d") for at in places], batch_first=True)
    return rearrange(rows, "q p k d -> q k p d").contiguous()


def partial_attention(
    query: Float[Tensor, "q k n d"],
    key: Float[Tensor, "q k l d"],
    value: Float[Tensor, "q k l d"],
    mask: Bool[Tensor, "q 1 1 l"] | None = None,
) -> Part:
    """Compute attention over a part of a query's keys, in float32 or wider; ``merge_parts`` joins two parts."""
    scores = query @ key.transpose(2, 3)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    most = scores.amax(dim=-1, keepdim=True)
    weights = (scores - most).exp_()
    return (weights.to(value.dtype) @ value).to(scores.dtype), weights.sum(dim=-1, keepdim=True), most


def merge_parts(one: Part, two: Part) -> Tensor:
    """Merge two parts into the exact softmax over the keys of both, after bringing both to one exponent."""
    most = torch.maximum(one[2], two[2])
    a, b = (one[2] - most).exp(), (two[2] - most).exp()
    return (one[0] * a + two[0] * b) / (one[1] * a + two[1] * b)


@dataclass(slots=True)
class CopiedPrefixDecoder:
    """Decode rows that each have a copy of their prompt's keys, values and states, in transformers' cache.

    It serves models that cannot share a prefix. The mask excludes padding from attention, convolutions and recurrent
    states; the latter two start from 0 at a prompt's first token.
    """

    language: Language
    cache: DynamicCache
    mask: Bool[Tensor, "n l"]
    last: Float[Tensor, "n d"]

    @classmethod
    def of(cls, language: Language, encoded: EncodedPrompts, prompt: Int[Tensor, " n"]) -> "CopiedPrefixDecoder":
        """Run one forward pass over the prompts, padded at the left, and copy their states for each row."""
        cache = DynamicCache(config=language.layers.config)
        rows = [
            (p.tokens, p.positions, features) for p, features in zip(encoded.prompts, encoded.features, strict=True)
        ]
        hidden, mask = padded_pass(language, rows, "left", **cached(language.layers, cache))
        cache.reorder_cache(prompt)  # any rows, any number of times; batch_select_indices knows no recurrent states
        return cls(language, cache, mask[prompt], hidden[:, -1][prompt])

    def keep(self, rows: Int[Tensor, " m"]) -> None:
        """Drop all rows but these."""
        self.cache.reorder_cache(rows)
        self.mask = self.mask[rows]

    def advance(self, tokens: Int[Tensor, " n"], positions: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Append one token to each row and return its last hidden state."""
        self.language.work.forward_tokens += len(tokens)
        self.mask = torch.nn.functional.pad(self.mask, (0, 1), value=True)
        out = self.language.forward(
            self.language.tokens(tokens[:, None]),
            positions.expand(3, -1)[..., None],
            attention_mask=self.mask,
            **cached(self.language.layers, self.cache),
        )
        return out.last_hidden_state[:, -1]


Decoder = SharedPrefixDecoder | CopiedPrefixDecoder


def decoder(language: Language, encoded: Prefix | EncodedPrompts, counts: Sequence[int]) -> Decoder:
    """Return a decoder with ``counts[i]`` rows for prompt i; its kind follows from the type of ``encoded``."""
    prompt = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).to(language.device)
    kind = SharedPrefixDecoder if isinstance(encoded, Prefix) else CopiedPrefixDecoder
    return kind.of(language, encoded, prompt)
