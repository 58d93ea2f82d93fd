"""A prompt once: its keys and values are computed once, answers are read against them, and its backward pass runs once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, groupby

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmrl.models.attention.shared import AnswerPass, PromptPass, Rows
from mmrl.models.language import Language
from mmrl.models.vision.tower import Seen
from mmrl.types import Prompt

NO_MASK = torch.empty(0, 0, 0, 0)  # 4-D: transformers builds none


@dataclass(frozen=True, slots=True)
class Prefix:
    """Prompts that went through the layers: what their answers look at. They lie one behind the other."""

    seen: Seen
    keys: tuple[Float[Tensor, "1 k p d"], ...]  # by layer
    values: tuple[Float[Tensor, "1 k p d"], ...]
    last: Float[
        Tensor, "n d"
    ]  # the hidden state at each prompt's last place, where its answers' first token is predicted

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        return self.seen.prompts

    @property
    def features(self) -> tuple[Float[Tensor, "v k d"], ...]:
        return self.seen.features

    @property
    def places(self) -> list[slice]:
        """Where each prompt is."""
        ends = list(accumulate(len(prompt.tokens) for prompt in self.prompts))
        return [slice(end - len(prompt.tokens), end) for prompt, end in zip(self.prompts, ends, strict=True)]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.keys, *self.values, self.last)


def prefill(language: Language, seen: Seen) -> Prefix:
    """One forward pass over all prompts, without padding."""
    prompts = [prompt.tokens.to(language.device) for prompt in seen.prompts]
    language.check(prompts, seen.features)
    embedded, deep = language.embed(torch.cat(prompts)[None], seen.features)
    language.work.forward_tokens += embedded.shape[1]
    shared = PromptPass(tuple(map(len, prompts)))
    positions = torch.cat([prompt.positions for prompt in seen.prompts], dim=1)[:, None]
    out = language.forward(embedded, positions, attention_mask=NO_MASK, shared=shared.attend, **deep)
    ends = torch.tensor([*accumulate(shared.lengths)], device=language.device) - 1
    layers = sorted(shared.keys)
    return Prefix(
        seen,
        tuple(shared.keys[i] for i in layers),
        tuple(shared.values[i] for i in layers),
        out.last_hidden_state[0, ends],
    )


@contextmanager
def held(language: Language, seen: Seen) -> Iterator[Prefix]:
    """The prompts' prefix. Gradients of all that is read inside gather on it; at exit they go through the prompts, once.

    So a group that is read in m parts costs P + the sum of its answers' tokens, and not m P + that sum. Where weights are sharded,
    each layer is gathered for the prompts and once more for each part.
    """
    made = prefill(language, seen)
    leaves = [x.detach().requires_grad_(x.requires_grad) for x in made.tensors]
    count = len(made.keys)
    yield replace(made, keys=tuple(leaves[:count]), values=tuple(leaves[count : 2 * count]), last=leaves[-1])
    if any(leaf.grad is not None for leaf in leaves):
        leaves[-1].grad = torch.zeros_like(leaves[-1]) if leaves[-1].grad is None else leaves[-1].grad
        pairs = [(x, leaf.grad) for x, leaf in zip(made.tensors, leaves, strict=True) if leaf.grad is not None]
        torch.autograd.backward(*zip(*pairs, strict=True))


def answers(language: Language, prefix: Prefix, rows: Sequence[tuple[int, Int[Tensor, " t"]]]) -> Float[Tensor, "n d"]:
    """Last hidden states of answers' tokens, one answer behind the other. ``rows`` are (prompt, tokens, of which there are some)."""
    ids = torch.cat([tokens for _, tokens in rows]).to(language.device)
    language.check([ids], [prefix.last[:0]])
    starts = [prefix.prompts[i].next_position for i, _ in rows]
    positions = torch.cat([torch.arange(len(t)) + start for start, (_, t) in zip(starts, rows, strict=True)])
    language.work.forward_tokens += len(ids)
    embedded, _ = language.embed(ids[None], [])
    shared = AnswerPass(prefix.keys, prefix.values, neighbours(prefix, [(i, len(t)) for i, t in rows]))
    out = language.forward(embedded, positions.expand(3, 1, -1), attention_mask=NO_MASK, shared=shared.attend)
    return out.last_hidden_state[0]


def neighbours(prefix: Prefix, rows: Sequence[tuple[int, int]]) -> tuple[Rows, ...]:
    """Answers to the same prompt together, where they lie together; rows are (prompt, length)."""
    out, start = [], 0
    for index, some in groupby(rows, key=lambda row: row[0]):
        lengths = tuple(length for _, length in some)
        out.append(Rows(prefix.places[index], start, lengths))
        start += sum(lengths)
    return tuple(out)
