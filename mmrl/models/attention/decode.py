"""One more token for many answers at a time: prompts' keys and values are shared, an answer's own are its row's."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from mmrl.models.attention.prefix import NO_MASK, Prefix
from mmrl.models.language import Language
from mmrl.models.transformers_versions import cached
from mmrl.models.vision.tower import Seen

Part = tuple[
    Tensor, Tensor, Tensor
]  # of a softmax: weighted values, sum of weights, and the exponent taken out of both


@dataclass(slots=True)
class Shared:
    """Answers that look at keys and values of which there is one copy a prompt.

    Rows are sorted by prompt. The queries of a prompt's rows meet its keys in one product; ``slots`` says where.
    """

    language: Language
    prompt: Int[Tensor, " n"]  # of each row
    last: Float[Tensor, "n d"]  # hidden states from which the first tokens are predicted
    keys: list[Float[Tensor, "q k p d"]]  # by layer, a row a prompt, padded at the right
    values: list[Float[Tensor, "q k p d"]]
    mask: Bool[Tensor, "q p"] | None  # of the padded keys; None where there is no padding
    own: list[tuple[Float[Tensor, "n k t d"], Float[Tensor, "n k t d"]]] = field(default_factory=list)  # by layer
    length: int = 0  # tokens that every row has
    slots: tuple[Int[Tensor, " s"], Int[Tensor, " n"]] = ()  # a row for each place of a prompt, the place of each row

    @classmethod
    def of(cls, language: Language, prefix: Prefix, prompt: Int[Tensor, " n"]) -> "Shared":
        """Keys and values of the prompts, one copy each."""
        lengths = torch.tensor([at.stop - at.start for at in prefix.places], device=prompt.device)
        mask = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
        keys, values = ([padded(x, prefix.places) for x in layers] for layers in (prefix.keys, prefix.values))
        made = cls(language, prompt, prefix.last[prompt], keys, values, None if mask.all() else mask)
        made.seat()
        return made

    def seat(self) -> None:
        """Give every row a place beside the others of its prompt; prompts without rows are dropped."""
        used, index, counts = self.prompt.unique_consecutive(return_inverse=True, return_counts=True)
        if len(used) < len(self.keys[0]):
            self.keys, self.values = ([x[used] for x in layers] for layers in (self.keys, self.values))
            self.mask = None if self.mask is None else self.mask[used]
            self.prompt = index
        seats, starts = int(counts.max()), counts.cumsum(0) - counts
        rows = torch.arange(len(self.prompt), device=counts.device)
        place = index * seats + rows - starts[index]
        table = torch.zeros(len(used) * seats, dtype=torch.long, device=counts.device).index_copy(0, place, rows)
        self.slots = table, place

    def keep(self, rows: Int[Tensor, " m"]) -> None:
        """Go on with these rows only."""
        self.prompt = self.prompt[rows]
        self.own = [(k[rows], v[rows]) for k, v in self.own]
        self.seat()

    def advance(self, tokens: Int[Tensor, " n"], positions: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """The hidden state of one more token for each row."""
        self.language.work.forward_tokens += len(tokens)
        embedded = self.language.tokens(tokens[None])
        positions = positions.expand(3, 1, -1)
        out = self.language.forward(embedded, positions, attention_mask=NO_MASK, shared=self.attend)
        self.length += 1
        return out.last_hidden_state[0]

    def attend(self, layer, query, key, value, scaling, flash):
        """Each row looks at its prompt and at its own tokens."""
        keys, values = self.add(layer, key, value)
        heads = keys.shape[1]
        query = rearrange(query[0] * scaling, "(k r) n d -> n k r d", k=heads)
        mine = weighed(query, keys, values)
        table, place = self.slots
        together = rearrange(query[table], "(q g) k r d -> q k (g r) d", q=len(self.keys[0]))
        mask = None if self.mask is None else self.mask[:, None, None]
        prompts = weighed(together, self.keys[layer], self.values[layer], mask)
        r = query.shape[2]
        theirs = tuple(rearrange(x, "q k (g r) d -> (q g) k r d", r=r)[place] for x in prompts)
        return rearrange(merged(mine, theirs), "n k r d -> 1 n (k r) d").to(value.dtype)

    def add(self, layer: int, key: Float[Tensor, "1 k n d"], value: Float[Tensor, "1 k n d"]) -> tuple[Tensor, Tensor]:
        """The rows' own keys and values, the new ones among them. Memory for them doubles when it is full."""
        new = [rearrange(x, "1 k n d -> n k d") for x in (key, value)]
        if len(self.own) <= layer:
            self.own.append(tuple(x.new_zeros(x.shape[0], x.shape[1], 32, x.shape[2]) for x in new))
        if self.length == self.own[layer][0].shape[2]:
            self.own[layer] = tuple(torch.cat([x, torch.zeros_like(x)], dim=2) for x in self.own[layer])
        for held, x in zip(self.own[layer], new, strict=True):
            held[:, :, self.length] = x
        return tuple(x[:, :, : self.length + 1] for x in self.own[layer])


def padded(packed: Float[Tensor, "1 k n d"], places: Sequence[slice]) -> Float[Tensor, "q k p d"]:
    """Prompts that lie one behind the other, a row each, filled up at the right."""
    rows = pad_sequence([rearrange(packed[0, :, at], "k p d -> p k d") for at in places], batch_first=True)
    return rearrange(rows, "q p k d -> q k p d").contiguous()


def weighed(
    query: Float[Tensor, "q k n d"],
    key: Float[Tensor, "q k l d"],
    value: Float[Tensor, "q k l d"],
    mask: Bool[Tensor, "q 1 1 l"] | None = None,
) -> Part:
    """A part of attention, whose softmax goes on over other keys; at least float32."""
    scores = query @ key.transpose(2, 3)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    most = scores.amax(dim=-1, keepdim=True)
    weights = (scores - most).exp_()
    return (weights.to(value.dtype) @ value).to(scores.dtype), weights.sum(dim=-1, keepdim=True), most


def merged(one: Part, two: Part) -> Tensor:
    """Attention over the keys of two parts, exactly: both put on one exponent."""
    most = torch.maximum(one[2], two[2])
    a, b = (one[2] - most).exp(), (two[2] - most).exp()
    return (one[0] * a + two[0] * b) / (one[1] * a + two[1] * b)


@dataclass(slots=True)
class Plain:
    """Answers each with a copy of its prompt's keys, values and states, in transformers' cache. For models that cannot share.

    The mask keeps padding out of attention, and zeroes what would reach a convolution or a recurrent state: both are 0 at
    a prompt's first token, as if nothing had been before it.
    """

    language: Language
    cache: DynamicCache
    mask: Bool[Tensor, "n l"]
    last: Float[Tensor, "n d"]

    @classmethod
    def of(cls, language: Language, seen: Seen, prompt: Int[Tensor, " n"]) -> "Plain":
        """Prompts padded at the left, then copied for their rows."""
        lengths = [len(one.tokens) for one in seen.prompts]
        width = max(lengths)
        ids = torch.zeros(len(lengths), width, dtype=torch.long)
        positions, mask = torch.zeros(3, len(lengths), width, dtype=torch.long), torch.zeros_like(ids, dtype=torch.bool)
        for i, (one, length) in enumerate(zip(seen.prompts, lengths, strict=True)):
            ids[i, width - length :], positions[:, i, width - length :] = one.tokens, one.positions
            mask[i, width - length :] = True
        ids, mask = ids.to(language.device), mask.to(language.device)
        language.work.forward_tokens += ids.numel()
        language.work.padding += ids.numel() - sum(lengths)
        language.check(list(ids), seen.features)
        embedded, deep = language.embed(ids, seen.features)
        cache = DynamicCache(config=language.layers.config)
        out = language.forward(embedded, positions, attention_mask=mask, **cached(language.layers, cache), **deep)
        cache.reorder_cache(prompt)  # any rows, any number of times; batch_select_indices knows no recurrent states
        return cls(language, cache, mask[prompt], out.last_hidden_state[:, -1][prompt])

    def keep(self, rows: Int[Tensor, " m"]) -> None:
        """Go on with these rows only."""
        self.cache.reorder_cache(rows)
        self.mask = self.mask[rows]

    def advance(self, tokens: Int[Tensor, " n"], positions: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """The hidden state of one more token for each row."""
        self.language.work.forward_tokens += len(tokens)
        self.mask = torch.nn.functional.pad(self.mask, (0, 1), value=True)
        out = self.language.forward(
            self.language.tokens(tokens[:, None]),
            positions.expand(3, -1)[..., None],
            attention_mask=self.mask,
            **cached(self.language.layers, self.cache),
        )
        return out.last_hidden_state[:, -1]


def decoder(language: Language, seen: Prefix | Seen, counts: Sequence[int]) -> Shared | Plain:
    """What makes ``counts`` answers to each of the prompts."""
    prompt = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).to(language.device)
    return Shared.of(language, seen, prompt) if isinstance(seen, Prefix) else Plain.of(language, seen, prompt)
