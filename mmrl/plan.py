"""What is seen and read together: groups in bundles, rows in parts, ranks in step. It cuts for memory only."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from mmrl.types import Credit, Group, Prompt, Scored


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a group, and what they are worth. ``index`` is the group's place in its bundle."""

    index: int
    scored: Scored
    credit: Credit

    @property
    def group(self) -> Group:
        return self.scored.group


@dataclass(frozen=True, slots=True)
class Filler:
    """Something to read that is worth nothing, so that this rank meets the others in every sharded layer."""

    index: int
    group: Group


@dataclass(frozen=True, slots=True)
class Bundle:
    """Groups whose prompts are seen together, and the parts in which their rows are read."""

    prompts: tuple[Prompt, ...]
    parts: tuple[tuple[Piece, ...] | tuple[Filler], ...]

    @property
    def kinds(self) -> frozenset[str]:
        """Which media there are; the tower is called once for each kind."""
        return frozenset(medium.kind for prompt in self.prompts for medium in prompt.example.every_media)


@dataclass(frozen=True, slots=True)
class Planner:
    """Cuts an update into forward passes."""

    ranks: Any
    part_tokens: int = 16384  # the most tokens, padding included, in one forward pass with a gradient
    filler: Callable[[frozenset[str]], Group] | None = None  # about media of these kinds; None where weights are whole

    def plan(self, loud: Sequence[tuple[Scored, Credit]]) -> Iterable[Bundle]:
        """What is seen and read for an update; where weights are sharded, in step with the other ranks."""
        bundles = self.bundles(loud)
        return bundles if self.filler is None else self.align(bundles)

    def bundles(self, loud: Sequence[tuple[Scored, Credit]]) -> Iterator[Bundle]:
        """Groups that fit into one forward pass go together; one that does not fit is read in parts."""
        loud = sorted(loud, key=lambda pair: row_tokens(pair[0].group))
        for some in packs([s.group for s, _ in loud], self.part_tokens):
            chosen = [loud[i] for i in some]
            if len(chosen) == 1:
                parts = tuple((piece,) for piece in cut(*chosen[0], self.part_tokens))
            else:
                parts = (tuple(Piece(i, s, c) for i, (s, c) in enumerate(chosen)),)
            yield Bundle(tuple(s.group.prompt for s, _ in chosen), parts)

    def align(self, bundles: Iterable[Bundle]) -> list[Bundle]:
        """Bundles such that every rank calls every layer equally often.

        A sharded layer is gathered by all ranks together, forward and backward. So the k-th bundles of all ranks get
        equally many parts and the same kinds of media, and bundles with many parts go first, to meet their like.
        """
        mine = sorted(bundles, key=lambda b: (len(b.parts), sorted(b.kinds)), reverse=True)
        shapes = self.ranks.gather([(len(b.parts), b.kinds) for b in mine])
        mine += [Bundle((), ())] * (max(map(len, shapes)) - len(mine))
        together = zip_longest(*shapes, fillvalue=(0, frozenset()))
        return [self.filled(bundle, shapes) for bundle, shapes in zip(mine, together, strict=True)]

    def filled(self, bundle: Bundle, shapes: Sequence[tuple[int, frozenset[str]]]) -> Bundle:
        """The bundle with the parts and kinds of media that it lacks of the shapes of all ranks."""
        kinds = frozenset().union(*(k for _, k in shapes))
        parts = max(count + (k != kinds) for count, k in shapes)  # media that a rank lacks bring a part of their own
        if parts == len(bundle.parts):
            return bundle
        group = self.filler(kinds - bundle.kinds)
        filler = (Filler(len(bundle.prompts), group),)
        return Bundle((*bundle.prompts, group.prompt), bundle.parts + (filler,) * (parts - len(bundle.parts)))


def row_tokens(group: Group) -> int:
    """Tokens of the longest row of a group, its prompt included."""
    return len(group.prompt.tokens) + group.tokens.shape[1]


def packs(groups: Sequence[Group], limit: int) -> Iterator[list[int]]:
    """Neighbours together as long as their rows, padded to the longest, stay within ``limit`` tokens; never none."""
    some: list[int] = []
    rows = width = 0
    for index, group in enumerate(groups):
        wider = max(width, row_tokens(group))
        if some and (rows + len(group)) * wider > limit:
            yield some
            some, rows, wider = [], 0, row_tokens(group)
        some.append(index)
        rows, width = rows + len(group), wider
    if some:
        yield some


def cut(scored: Scored, credit: Credit, limit: int) -> Iterator[Piece]:
    """A group's rows in parts of at most ``limit`` tokens, a row at the least. A part of a group is a group."""
    rows = max(1, limit // row_tokens(scored.group))
    for start in range(0, len(scored.group), rows):
        part = slice(start, start + rows)
        yield Piece(0, scored.rows(part), credit.rows(part))
