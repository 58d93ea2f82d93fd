"""Partially ordered plans of four to seven steps: ten ways to reach a goal that says what should be, not how.

The steps and their order follow from the goal's words and simple physics:

- what is to hold something is opened first, and closed once all of it is in;
- paint is poured before it is dried;
- a ball is hidden before what stands on the mats is swapped;
- what is taken was put before;
- "first", "second", "third" and "next" mean what they say.

No word is new: the goals are made of the octets'.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from mmrl.world.octet import Action


@dataclass(frozen=True, slots=True)
class Step:
    """One deed of a plan, and the indices of the steps that must be done before it."""

    verb: str
    thing: str
    place: str
    after: tuple[int, ...] = ()

    @property
    def action(self) -> Action:
        """The step as an option proposes it."""
        return Action(self.place, self.verb, self.thing)


@dataclass(frozen=True, slots=True)
class Schema:
    """A kind of plan. Its words and steps name stations s and t, the colours a and b of s, c and d of t, and a fifth, n."""

    name: str
    task: str
    steps: str  # with commas: verb, thing, station, and the numbers of the steps that must be done before
    held_out: bool = False  # only in L3

    def goal(self, names: Mapping[str, str]) -> str:
        """Return the goal's words."""
        return self.task.format(**names)

    def plan(self, names: Mapping[str, str]) -> tuple[Step, ...]:
        """Return the steps with the names filled in."""
        told = (step.split() for step in self.steps.split(","))
        return tuple(
            Step(verb, names.get(thing, thing), names[place], tuple(map(int, after)))
            for verb, thing, place, *after in told
        )

    def colours(self, names: Mapping[str, str]) -> list[str]:
        """Return the colours that the goal names."""
        return [names[name] for name in "abcdn" if f"{{{name}}}" in self.task]


SCHEMAS: Mapping[str, Schema] = {
    schema.name: schema
    for schema in (
        Schema(
            "KEEP",
            "the key in each: {s} {a}, {t} {c}",
            "open a s, drop key s 0, close a s 1, open c t, drop key t 3, close c t 4",
        ),
        Schema(
            "PAINT",
            "{s} dry {a} and {b} for long, next put {n}",
            "pour a s, dry a s 0, pour b s, dry b s 2, put n s 1 3",
        ),
        Schema(
            "CUPS",
            "{s} the ball under {a} and {b}, next swap both, next visit {n}, {t} the ball under {c}",
            "hide a s, hide b s, swap both s 0 1, visit n s 2, hide c t",
        ),
        Schema(
            "STOW",
            "{s} put {b} and {n} in {a}, {t} the key in {c}",
            "open a s, put b s 0, put n s 0, close a s 1 2, open c t, drop key t 4, close c t 5",
        ),
        Schema(
            "CLEAR",
            "{s} put {a} first, {b} second, next take {a}, {t} put {c}",
            "put a s, put b s 0, take a s 1, put c t",
        ),
        Schema(
            "TOUR",
            "{s} go past {a} first, {b} second, {n} third, {t} dry {c} for long",
            "visit a s, visit b s 0, visit n s 1, pour c t, dry c t 3",
        ),
        Schema(
            "FILLED",
            "pour in each: {s} {b} in {a}, {t} {n} in {c}",
            "open a s, pour b s 0, close a s 1, open c t, pour n t 3, close c t 4",
            held_out=True,
        ),
        Schema(
            "MOVE",
            "{t} put {c} and take {c}, next {s} put {c} in {a}",
            "put c t, take c t 0, open a s, put c s 1 2, close a s 3",
            held_out=True,
        ),
        Schema(
            "CROSS",
            "{s} go past {a} first, dry {b} second, swap both third, {t} the ball under {c} and {d}",
            "visit a s, pour b s 0, dry b s 1, swap both s 2, hide c t, hide d t",
            held_out=True,
        ),
        Schema(
            "VAULT",
            "{s} the ball under {a}, next swap both, {t} go past {d} first, put {n} and the key in {c} second",
            "hide a s, swap both s 0, visit d t, open c t 2, put n t 3, drop key t 3, close c t 4 5",
            held_out=True,
        ),
    )
}


def before(plan: Sequence[Step], index: int) -> frozenset[int]:
    """Return the steps that must be done before one of them, at once or in the end."""
    return frozenset(plan[index].after).union(*(before(plan, earlier) for earlier in plan[index].after))


def next_steps(plan: Sequence[Step], done: Collection[int]) -> list[int]:
    """Return the steps that are next: not done, and all that must come before them is."""
    return [index for index, step in enumerate(plan) if index not in done and set(step.after) <= set(done)]


def chains(plan: Sequence[Step], length: int) -> Iterator[tuple[int, ...]]:
    """Sets of steps of which each must come before the next."""
    for several in combinations(range(len(plan)), length):
        ordered = sorted(several, key=lambda index: len(before(plan, index)))
        if all(one in before(plan, other) for one, other in pairwise(ordered)):
            yield tuple(ordered)
