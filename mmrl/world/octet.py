"""Counterfactual octets: eight items that share a text, four videos and two observations.

Goal, options and the irrelevant event are fixed; two hidden bits (one a station) and the lamp of the observation vary.
Every option is right exactly twice, so that neither text (25 %), nor observation, nor video alone (50 % each) says more
than that. The four options name four different colours: one word tells each from the others.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from mmrl.world.dice import Dice
from mmrl.world.script import BITS, COLOURS, FAMILIES, STATIONS, TAIL, THINGS, THIRD, Event, Pair, TaskFamily, needed
from mmrl.world.script import holds as held_after

LETTERS = ("A", "B", "C", "D")
Bits = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Action:
    """The action that an option proposes."""

    place: str
    verb: str
    colour: str

    def __str__(self) -> str:
        """Ordinary words; the one that tells the option from the others comes last."""
        return f"on the {self.place} {self.verb} {self.colour}"


@dataclass(frozen=True, slots=True)
class Octet:
    """The things that eight items share: everything but the hidden bits and the lamp."""

    stratum: ClassVar[str] = "octet"
    group: str
    split: str
    family: str
    mats: tuple[Pair, Pair]  # the two colours of the left station, of the right; four different ones
    third: str  # a fifth colour, which some goals name
    slots: tuple[tuple[int, ...], tuple[int, ...]]  # of the events at the left, at the right
    flips: tuple[int, int]  # the order that both values of a station's bit share
    nuisance: Event  # at the third box
    options: tuple[Action, Action, Action, Action]  # in the order in which validation shows them

    @property
    def kind(self) -> TaskFamily:
        """The octet's family."""
        return FAMILIES[self.family]

    @property
    def goal(self) -> str:
        """The task in words, and the colours of either station."""
        stations = [f"{place} {a} and {b}" for place, (a, b) in zip(STATIONS, self.mats, strict=True)]
        return f"{self.kind.task.format(third=self.third)}: {', '.join(stations)}"

    def script(self, bits: Bits) -> tuple[Event, ...]:
        """Return what happens in one of the four videos, by slot; the closing lids are not told."""
        events = [self.nuisance]
        for place, mats, slots, flip, bit in zip(STATIONS, self.mats, self.slots, self.flips, bits, strict=True):
            deeds = self.kind.deeds(mats, self.third, bit, flip)
            events += [Event(slot, *deed, place) for slot, deed in zip(slots, deeds, strict=True)]
        return tuple(sorted(events, key=lambda event: event.slot))

    def holds(self, bits: Bits, place: str) -> tuple[str, ...]:
        """Return what a station holds in the end."""
        return held_after(self.kind, self.script(bits), place, self.mats[STATIONS.index(place)])

    def action(self, bits: Bits, lamp: str) -> Action:
        """Return the only right next action. Raises if the rule does not single one out."""
        mats = self.mats[STATIONS.index(lamp)]
        colour = needed(self.kind, self.holds(bits, lamp), mats, self.third)
        assert colour is not None, f"{self.group}: no single next action at {lamp} for bits {bits}"
        return Action(lamp, self.kind.verb, colour)

    def key(self) -> Hashable:
        """Return what names the four videos and the goal, whatever they look like; no two octets of a benchmark share it."""
        return self.family, self.goal, frozenset(map(self.script, BITS))


def draw_octets(split: str, count: int, *, seed: int, taken: set[Hashable]) -> Iterator[Octet]:
    """``count`` octets of a split, its families in turn, none of whose keys is in ``taken``; adds theirs to it.

    The first octets of a split do not depend on how many follow.
    """
    families = [family for family in FAMILIES.values() if family.held_out == (split == "L3")]
    for index in range(count):
        for attempt in range(1000):
            dice = Dice(seed, split, index, attempt)
            octet = draw_octet(dice, f"{split}-{index:05d}", split, families[index % len(families)])
            if octet.key() not in taken:
                break
        else:
            raise ValueError(f"sizes.{split}: expected at most what the families can tell apart, found {count} octets")
        taken.add(octet.key())
        yield octet


def draw_octet(dice: Dice, group: str, split: str, family: TaskFamily) -> Octet:
    """Return a random octet of a family."""
    a, b, c, d, third = dice.some(COLOURS, 5)
    mats = ((a, b), (c, d))
    slots, n = dice.shuffled(range(TAIL)), family.events
    verb = dice.one(tuple(THINGS))
    options = [
        Action(place, family.verb, colour) for place, pair in zip(STATIONS, mats, strict=True) for colour in pair
    ]
    return Octet(
        group=group,
        split=split,
        family=family.name,
        mats=mats,
        third=third,
        slots=(tuple(sorted(slots[:n])), tuple(sorted(slots[n : 2 * n]))),
        flips=(dice.below(6), dice.below(6)),
        nuisance=Event(slots[2 * n], verb, dice.one(THINGS[verb]), THIRD),
        options=tuple(dice.shuffled(options)),
    )
