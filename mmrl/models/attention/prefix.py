"""A prefix cache with gradients: each prompt's keys and values are computed once, forward and backward, for all completions."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmrl.models.attention.shared import CompletionPass, PromptPass, Rows
from mmrl.models.language import Language
from mmrl.models.vision.tower import EncodedPrompts, one_backward

NO_MASK = torch.empty(0, 0, 0, 0)  # transformers builds no mask if it gets a 4-D one


@dataclass(frozen=True, slots=True)
class Prefix:
    """The keys and values of concatenated prompts, to which their completions attend."""

    encoded: EncodedPrompts
    keys: tuple[Float[Tensor, "1 k p d"], ...]  # by layer
    values: tuple[Float[Tensor, "1 k p d"], ...]
    last: Float[Tensor, "n d"]  # hidden states of the prompts' last tokens, which predict the first tokens

    @property
    def prompt_slices(self) -> list[slice]:
        """The slice of each prompt in the concatenated tokens."""
        ends = [0, *accumulate(len(prompt.tokens) for prompt in self.encoded.prompts)]
        return [slice(start, end) for start, end in pairwise(ends)]


def prefill(language: Language, encoded: EncodedPrompts) -> Prefix:
    """Run one forward pass over all prompts, concatenated without padding."""
    prompts = [prompt.tokens.to(language.device) for prompt in encoded.prompts]
    language.check(prompts, encoded.features)
    embedded, deep = language.embed(torch.cat(prompts)[None], encoded.features)
    language.work.forward_tokens += embedded.shape[1]
    shared = PromptPass(tuple(map(len, prompts)))
    positions = torch.cat([prompt.positions for prompt in encoded.prompts], dim=1)[:, None]
    out = language.forward(embedded, positions, attention_mask=NO_MASK, shared=shared.attend, **deep)
    ends = torch.tensor([*accumulate(shared.lengths)], device=language.device) - 1
    keys, values = (tuple(by_layer[i] for i in sorted(by_layer)) for by_layer in (shared.keys, shared.values))
    return Prefix(encoded, keys, values, out.last_hidden_state[0, ends])


@contextmanager
def prefix_cache(language: Language, encoded: EncodedPrompts) -> Iterator[Prefix]:
    """Prefill the prompts. Gradients accumulate on the prefix inside; one backward pass through the prompts runs at exit.

    So a group in m micro-batches costs P + the sum of its completions' tokens, not m P + that sum (P: prompt tokens). If
    weights are sharded, each layer is gathered once for the prompts and once for each micro-batch.
    """
    prefix = prefill(language, encoded)
    count = len(prefix.keys)
    with one_backward((*prefix.keys, *prefix.values, prefix.last)) as leaves:
        last = leaves[-1]
        yield replace(prefix, keys=leaves[:count], values=leaves[count:-1], last=last)
        if last.grad is None and any(leaf.grad is not None for leaf in leaves):
            last.grad = torch.zeros_like(last)


def completion_states(
    language: Language, prefix: Prefix, rows: Sequence[tuple[int, Int[Tensor, " t"]]]
) -> Float[Tensor, "n d"]:
    """Compute the last hidden states of the completions' tokens, concatenated; ``rows`` holds (prompt index, tokens).

    Each row has at least one token.
    """
    ids = torch.cat([tokens for _, tokens in rows]).to(language.device)
    language.check([ids], [prefix.last[:0]])
    starts = [prefix.encoded.prompts[i].next_position for i, _ in rows]
    positions = torch.cat([torch.arange(len(t)) + start for start, (_, t) in zip(starts, rows, strict=True)])
    language.work.forward_tokens += len(ids)
    embedded, _ = language.embed(ids[None], [])
    groups, first = [], 0  # rows of the same prompt are neighbours
    for index, of_prompt in groupby(rows, key=lambda row: row[0]):
        groups.append(Rows(prefix.prompt_slices[index], first, tuple(len(tokens) for _, tokens in of_prompt)))
        first = groups[-1].tokens.stop
    shared = CompletionPass(prefix.keys, prefix.values, tuple(groups))
    out = language.forward(embedded, positions.expand(3, 1, -1), attention_mask=NO_MASK, shared=shared.attend)
    return out.last_hidden_state[0]
