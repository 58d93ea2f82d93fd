"""Prompts once: keys and values are computed once, completions are read against them, and one backward pass runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmrl.models.attention.shared import AnswerPass, PromptPass, Rows
from mmrl.models.language import Language
from mmrl.models.vision.tower import EncodedPrompts, one_backward

NO_MASK = torch.empty(0, 0, 0, 0)  # 4-D: transformers builds none


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys and values of prompts, to which their completions attend. Prompts lie one behind the other."""

    encoded: EncodedPrompts
    keys: tuple[Float[Tensor, "1 k p d"], ...]  # by layer
    values: tuple[Float[Tensor, "1 k p d"], ...]
    last: Float[Tensor, "n d"]  # hidden states at the prompts' last places, which predict the first tokens

    @property
    def places(self) -> list[slice]:
        """Locates each prompt."""
        ends = [0, *accumulate(len(prompt.tokens) for prompt in self.encoded.prompts)]
        return [slice(start, end) for start, end in pairwise(ends)]


def prefill(language: Language, encoded: EncodedPrompts) -> Prefix:
    """Runs one forward pass over all prompts, without padding."""
    prompts = [prompt.tokens.to(language.device) for prompt in encoded.prompts]
    language.check(prompts, encoded.features)
    embedded, deep = language.embed(torch.cat(prompts)[None], encoded.features)
    language.work.forward_tokens += embedded.shape[1]
    shared = PromptPass(tuple(map(len, prompts)))
    positions = torch.cat([prompt.positions for prompt in encoded.prompts], dim=1)[:, None]
    out = language.forward(embedded, positions, attention_mask=NO_MASK, shared=shared.attend, **deep)
    ends = torch.tensor([*accumulate(shared.lengths)], device=language.device) - 1
    keys, values = (tuple(kept[i] for i in sorted(kept)) for kept in (shared.keys, shared.values))
    return Prefix(encoded, keys, values, out.last_hidden_state[0, ends])


@contextmanager
def prefix_cache(language: Language, encoded: EncodedPrompts) -> Iterator[Prefix]:
    """Prefills the prompts. Gradients accumulate on the prefix inside; one backward pass through the prompts runs at exit.

    A group that is read in m parts so costs P + the sum of its completions' tokens, and not m P + that sum. If weights are
    sharded, each layer is gathered for the prompts and once more for each part.
    """
    prefix = prefill(language, encoded)
    count = len(prefix.keys)
    with one_backward((*prefix.keys, *prefix.values, prefix.last)) as leaves:
        last = leaves[-1]
        yield replace(prefix, keys=leaves[:count], values=leaves[count:-1], last=last)
        if last.grad is None and any(leaf.grad is not None for leaf in leaves):
            last.grad = torch.zeros_like(last)


def answers(language: Language, prefix: Prefix, rows: Sequence[tuple[int, Int[Tensor, " t"]]]) -> Float[Tensor, "n d"]:
    """Computes last hidden states of completions' tokens, one row behind the other; ``rows`` are (prompt, one or more tokens)."""
    ids = torch.cat([tokens for _, tokens in rows]).to(language.device)
    language.check([ids], [prefix.last[:0]])
    starts = [prefix.encoded.prompts[i].next_position for i, _ in rows]
    positions = torch.cat([torch.arange(len(t)) + start for start, (_, t) in zip(starts, rows, strict=True)])
    language.work.forward_tokens += len(ids)
    embedded, _ = language.embed(ids[None], [])
    groups, first = [], 0  # rows of the same prompt lie together
    for index, some in groupby(rows, key=lambda row: row[0]):
        groups.append(Rows(prefix.places[index], first, tuple(len(tokens) for _, tokens in some)))
        first = groups[-1].tokens.stop
    shared = AnswerPass(prefix.keys, prefix.values, tuple(groups))
    out = language.forward(embedded, positions.expand(3, 1, -1), attention_mask=NO_MASK, shared=shared.attend)
    return out.last_hidden_state[0]
