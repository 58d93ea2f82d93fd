"""Plans of micro-batches: the prompts encoded together and the rows of each forward pass, aligned over ranks. Splits save memory only."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from mmrl.types import Group, Prompt, RowSlice, Scored, TokenWeights

DummyGroup = Callable[[frozenset[str]], Group]  # kinds of media -> a group for a pass without a loss


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """Prompts that are encoded together, and the micro-batches of their completions."""

    prompts: tuple[Prompt, ...]
    micro_batches: tuple[tuple[RowSlice, ...], ...]

    @property
    def kinds(self) -> frozenset[str]:
        """Return the kinds of media in the prompts; the tower is called once for each kind."""
        return frozenset(medium.kind for prompt in self.prompts for medium in prompt.example.every_media)


@dataclass(frozen=True, slots=True)
class BatchPlanner:
    """Splits an update into forward passes."""

    ranks: Any
    max_tokens_per_micro_batch: int = 16384  # the most tokens, padding included, in one forward pass with a gradient
    dummy: DummyGroup | None = None  # returns a dummy group with media of these kinds; None if weights are not sharded
    shares_prefix: bool = True  # True if one forward pass of a prompt serves all of its completions

    def plan(self, informative: Sequence[tuple[Scored, TokenWeights]]) -> Iterable[PromptBatch]:
        """Return the prompt batches of an update; if weights are sharded, aligned with the other ranks."""
        batches = self.prompt_batches(informative)
        return batches if self.dummy is None else self.align(batches, self.dummy)

    def prompt_batches(self, informative: Sequence[tuple[Scored, TokenWeights]]) -> Iterator[PromptBatch]:
        """Yield batches: groups that fit into one forward pass together, and a group that does not fit in several parts."""
        informative = sorted(informative, key=lambda pair: self.cost([pair[0].group]))
        for indices in self.pack([s.group for s, _ in informative]):
            chosen = [informative[i] for i in indices]
            if len(chosen) == 1:
                parts = tuple(self.split(*chosen[0]))
            else:
                parts = (tuple(RowSlice(i, s.group, s, c) for i, (s, c) in enumerate(chosen)),)
            yield PromptBatch(tuple(s.group.prompt for s, _ in chosen), parts)

    def align(self, batches: Iterable[PromptBatch], dummy: DummyGroup) -> list[PromptBatch]:
        """Return batches such that every rank calls every layer equally often.

        All ranks gather a sharded layer together, forward and backward. So the k-th batches of all ranks get equally many
        micro-batches and the same kinds of media. Batches with many micro-batches go first, so that equal ones meet.
        """
        own = sorted(batches, key=lambda b: (len(b.micro_batches), sorted(b.kinds)), reverse=True)
        shapes = self.ranks.gather([(len(b.micro_batches), b.kinds) for b in own])
        own += [PromptBatch((), ())] * (max(map(len, shapes)) - len(own))
        together = zip_longest(*shapes, fillvalue=(0, frozenset()))
        return [padded(batch, shapes, dummy) for batch, shapes in zip(own, together, strict=True)]

    def pack(self, groups: Sequence[Group]) -> Iterator[list[int]]:
        """Yield the indices of neighbouring groups that together cost at most ``max_tokens_per_micro_batch``; at least one group each."""
        pack: list[int] = []
        for index, group in enumerate(groups):
            if pack and self.cost([*(groups[i] for i in pack), group]) > self.max_tokens_per_micro_batch:
                yield pack
                pack = []
            pack.append(index)
        if pack:
            yield pack

    def split(self, scored: Scored, weights: TokenWeights) -> Iterator[tuple[RowSlice]]:
        """Split a group's rows into micro-batches that cost at most ``max_tokens_per_micro_batch``, with at least one row."""
        start = 0
        for end in range(1, len(scored.group) + 1):
            if (
                end == len(scored.group)
                or self.cost([scored.group.rows(slice(start, end + 1))]) > self.max_tokens_per_micro_batch
            ):
                rows = scored.rows(slice(start, end))
                yield (RowSlice(0, rows.group, rows, weights.rows(slice(start, end))),)
                start = end

    def cost(self, groups: Sequence[Group]) -> int:
        """Return the number of tokens whose activations are in memory together in a forward pass of the groups.

        If prompts are shared, each prompt counts once, with every completion's own tokens, without padding. Otherwise every
        completion counts with its prompt, padded to the longest.
        """
        if self.shares_prefix:
            return sum(len(group.prompt.tokens) + int(group.completion_mask.sum()) for group in groups)
        return sum(map(len, groups)) * max(
            (len(group.prompt.tokens) + group.tokens.shape[1] for group in groups), default=0
        )


def padded(batch: PromptBatch, shapes: Sequence[tuple[int, frozenset[str]]], dummy: DummyGroup) -> PromptBatch:
    """Return the batch with dummy micro-batches, so that it has the number and kinds of media of all ranks."""
    kinds = frozenset().union(*(k for _, k in shapes))
    parts = max(count + (k != kinds) for count, k in shapes)  # media that a rank lacks need a micro-batch of their own
    if parts == len(batch.micro_batches):
        return batch
    group = dummy(kinds - batch.kinds)
    rows = (RowSlice(len(batch.prompts), group, dummy=True),)
    return PromptBatch(
        (*batch.prompts, group.prompt), batch.micro_batches + (rows,) * (parts - len(batch.micro_batches))
    )
