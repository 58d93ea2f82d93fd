"""Plan what is seen and read together: groups in bundles, rows in parts, ranks in step. It cuts for memory only."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from mmrl.types import Credit, Group, Prompt, RowSlice, Scored

DummyGroup = Callable[[frozenset[str]], Group]  # kinds of media -> a group about them that is worth nothing


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """Groups whose prompts are seen together, and the parts in which their rows are read."""

    prompts: tuple[Prompt, ...]
    micro_batches: tuple[tuple[RowSlice, ...], ...]

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of media that there are; the tower is called once for each kind."""
        return frozenset(medium.kind for prompt in self.prompts for medium in prompt.example.every_media)


@dataclass(frozen=True, slots=True)
class BatchPlanner:
    """Cuts an update into forward passes."""

    ranks: Any
    max_tokens: int = 16384  # the most tokens, padding included, in one forward pass with a gradient
    dummy: DummyGroup | None = None  # about media of these kinds; None where weights are whole
    shares_prefix: bool = True  # whether a prompt is read once for all of its completions

    def plan(self, loud: Sequence[tuple[Scored, Credit]]) -> Iterable[PromptBatch]:
        """Plan what is seen and read for an update; where weights are sharded, in step with the other ranks."""
        bundles = self.prompt_batches(loud)
        return bundles if self.dummy is None else self.align(bundles, self.dummy)

    def prompt_batches(self, loud: Sequence[tuple[Scored, Credit]]) -> Iterator[PromptBatch]:
        """Groups that fit into one forward pass go together; one that does not fit is read in parts."""
        loud = sorted(loud, key=lambda pair: self.cost([pair[0].group]))
        for some in self.pack([s.group for s, _ in loud]):
            chosen = [loud[i] for i in some]
            if len(chosen) == 1:
                parts = tuple(self.split(*chosen[0]))
            else:
                parts = (tuple(RowSlice(i, s.group, s, c) for i, (s, c) in enumerate(chosen)),)
            yield PromptBatch(tuple(s.group.prompt for s, _ in chosen), parts)

    def align(self, bundles: Iterable[PromptBatch], filler: DummyGroup) -> list[PromptBatch]:
        """Bundles such that every rank calls every layer equally often.

        A sharded layer is gathered by all ranks together, forward and backward. So the k-th bundles of all ranks get
        equally many parts and the same kinds of media, and bundles with many parts go first, to meet their like.
        """
        mine = sorted(bundles, key=lambda b: (len(b.micro_batches), sorted(b.kinds)), reverse=True)
        shapes = self.ranks.gather([(len(b.micro_batches), b.kinds) for b in mine])
        mine += [PromptBatch((), ())] * (max(map(len, shapes)) - len(mine))
        together = zip_longest(*shapes, fillvalue=(0, frozenset()))
        return [padded(bundle, shapes, filler) for bundle, shapes in zip(mine, together, strict=True)]

    def pack(self, groups: Sequence[Group]) -> Iterator[list[int]]:
        """Neighbours together as long as they cost at most ``part_tokens``; never none."""
        some: list[int] = []
        for index, group in enumerate(groups):
            if some and self.cost([*(groups[i] for i in some), group]) > self.max_tokens:
                yield some
                some = []
            some.append(index)
        if some:
            yield some

    def split(self, scored: Scored, credit: Credit) -> Iterator[tuple[RowSlice]]:
        """A group's rows in parts that cost at most ``part_tokens``, a row at the least. A part of a group is a group."""
        start = 0
        for end in range(1, len(scored.group) + 1):
            if end == len(scored.group) or self.cost([scored.group.rows(slice(start, end + 1))]) > self.max_tokens:
                rows = scored.rows(slice(start, end))
                yield (RowSlice(0, rows.group, rows, credit.rows(slice(start, end))),)
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


def padded(bundle: PromptBatch, shapes: Sequence[tuple[int, frozenset[str]]], filler: DummyGroup) -> PromptBatch:
    """The bundle with the parts and kinds of media that it lacks of the shapes of all ranks."""
    kinds = frozenset().union(*(k for _, k in shapes))
    parts = max(count + (k != kinds) for count, k in shapes)  # media that a rank lacks bring a part of their own
    if parts == len(bundle.micro_batches):
        return bundle
    group = filler(kinds - bundle.kinds)
    rows = (RowSlice(len(bundle.prompts), group, dummy=True),)
    return PromptBatch((*bundle.prompts, group.prompt), bundle.micro_batches + (rows,) * (parts - len(bundle.micro_batches)))
