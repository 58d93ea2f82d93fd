"""Plan micro-batches: which prompts are encoded together, which rows are read together, the same on all ranks. It splits for memory only."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from mmrl.types import Group, Prompt, RowSlice, Scored, TokenWeights

DummyGroup = Callable[[frozenset[str]], Group]  # kinds of media -> a group about them, which is read without a loss


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """Prompts that are encoded together, and the micro-batches in which their completions are read."""

    prompts: tuple[Prompt, ...]
    micro_batches: tuple[tuple[RowSlice, ...], ...]

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of media in the prompts; the tower is called once for each kind."""
        return frozenset(medium.kind for prompt in self.prompts for medium in prompt.example.every_media)


@dataclass(frozen=True, slots=True)
class BatchPlanner:
    """Splits an update into forward passes."""

    ranks: Any
    max_tokens_per_micro_batch: int = 16384  # the most tokens, padding included, in one forward pass with a gradient
    dummy: DummyGroup | None = None  # makes a dummy group about media of these kinds; None if weights are not sharded
    shares_prefix: bool = True  # True if a prompt is read once for all of its completions

    def plan(self, informative: Sequence[tuple[Scored, TokenWeights]]) -> Iterable[PromptBatch]:
        """Plan an update; if weights are sharded, in step with the other ranks."""
        batches = self.prompt_batches(informative)
        return batches if self.dummy is None else self.align(batches, self.dummy)

    def prompt_batches(self, informative: Sequence[tuple[Scored, TokenWeights]]) -> Iterator[PromptBatch]:
        """Put groups that fit into one forward pass together; split a group that does not fit."""
        informative = sorted(informative, key=lambda pair: self.cost([pair[0].group]))
        for some in self.pack([s.group for s, _ in informative]):
            chosen = [informative[i] for i in some]
            if len(chosen) == 1:
                parts = tuple(self.split(*chosen[0]))
            else:
                parts = (tuple(RowSlice(i, s.group, s, c) for i, (s, c) in enumerate(chosen)),)
            yield PromptBatch(tuple(s.group.prompt for s, _ in chosen), parts)

    def align(self, batches: Iterable[PromptBatch], filler: DummyGroup) -> list[PromptBatch]:
        """Bundles such that every rank calls every layer equally often.

        A sharded layer is gathered by all ranks together, forward and backward. So the k-th bundles of all ranks get
        equally many parts and the same kinds of media, and bundles with many parts go first, to meet their like.
        """
        mine = sorted(batches, key=lambda b: (len(b.micro_batches), sorted(b.kinds)), reverse=True)
        shapes = self.ranks.gather([(len(b.micro_batches), b.kinds) for b in mine])
        mine += [PromptBatch((), ())] * (max(map(len, shapes)) - len(mine))
        together = zip_longest(*shapes, fillvalue=(0, frozenset()))
        return [padded(batch, shapes, filler) for batch, shapes in zip(mine, together, strict=True)]

    def pack(self, groups: Sequence[Group]) -> Iterator[list[int]]:
        """Neighbours together as long as they cost at most ``max_tokens_per_micro_batch``; never none."""
        some: list[int] = []
        for index, group in enumerate(groups):
            if some and self.cost([*(groups[i] for i in some), group]) > self.max_tokens_per_micro_batch:
                yield some
                some = []
            some.append(index)
        if some:
            yield some

    def split(self, scored: Scored, weights: TokenWeights) -> Iterator[tuple[RowSlice]]:
        """Split a group's rows into micro-batches that cost at most ``max_tokens_per_micro_batch``, a row at the least. A part of a group is a group."""
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
        """Tokens whose activations are there at a time while the groups are read together.

        Where prompts are shared: each prompt once and every completion's own tokens, without padding. Else every
        completion with its prompt, padded to the longest.
        """
        if self.shares_prefix:
            return sum(len(group.prompt.tokens) + int(group.completion_mask.sum()) for group in groups)
        return sum(map(len, groups)) * max(
            (len(group.prompt.tokens) + group.tokens.shape[1] for group in groups), default=0
        )


def padded(batch: PromptBatch, shapes: Sequence[tuple[int, frozenset[str]]], filler: DummyGroup) -> PromptBatch:
    """The bundle with the parts and kinds of media that it lacks of the shapes of all ranks."""
    kinds = frozenset().union(*(k for _, k in shapes))
    parts = max(count + (k != kinds) for count, k in shapes)  # media that a rank lacks bring a part of their own
    if parts == len(batch.micro_batches):
        return batch
    group = filler(kinds - batch.kinds)
    rows = (RowSlice(len(batch.prompts), group, dummy=True),)
    return PromptBatch(
        (*batch.prompts, group.prompt), batch.micro_batches + (rows,) * (parts - len(batch.micro_batches))
    )
