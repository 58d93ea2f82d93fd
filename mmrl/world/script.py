"""The toy world as symbols: events, the state they leave behind, the rule of each family, counterfactual octets.

A clip shows eight slots of one event each. Two stations, left and right, hide what is put into them; the slots that
they leave go to a third box on top, whose events do not matter; in the last one all lids close. An octet is one text
(goal, options) with four videos (one hidden bit a station) and two observations (whose lamp is on): every option is
right twice, so that neither text, nor video, nor observation alone says more than chance allows
(facts/evaluation.md 5.4).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan")
STATIONS = ("left", "right")
THIRD = "top"  # the box whose events never matter
PLACES = (*STATIONS, THIRD)
VERBS = ("put", "take")
SLOTS = 8  # the last one is the tail: all lids close
TAIL = SLOTS - 1
BACKGROUNDS = 27  # in each pool of environments
LETTERS = ("A", "B", "C", "D")
SPLITS = ("train", "L1", "L2", "L3")
BITS = ((0, 0), (0, 1), (1, 0), (1, 1))  # of (left, right): the four videos of an octet
ONE_OF_EACH, SAME_ORDER, AS_MANY = "one of each", "the same order", "just as many"  # three words each


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens in one slot."""

    slot: int
    verb: str
    colour: str
    place: str


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of task: what happens at a station, and which rule tells what to do next."""

    name: str
    rule: str
    events: int  # at each station
    ordered: bool  # whether the same events in another order ask for another action
    held_out: bool = False  # only in L3


FAMILIES = {
    family.name: family
    for family in (
        Family("FILL", ONE_OF_EACH, 1, ordered=False),
        Family("STACK", SAME_ORDER, 2, ordered=True),
        Family("COUNT", AS_MANY, 3, ordered=False),
        Family("UNDO", ONE_OF_EACH, 3, ordered=False, held_out=True),
    )
}


@dataclass(frozen=True, slots=True)
class Octet:
    """What eight items share. Everything but the hidden bits and the lamp."""

    group: str
    split: str
    family: str
    colours: tuple[str, str]  # the goal's two
    slots: tuple[tuple[int, ...], tuple[int, ...]]  # of the events at the left, at the right
    flips: tuple[int, int]  # the order that both values of a station's bit share
    nuisance: tuple[Event, ...]  # fills the slots that the stations leave
    options: tuple[str, str, str, str]  # in the order in which validation shows them
    background: int  # which of its pool's
    texture: int | None  # seed of the background's noise; None leaves it flat

    @property
    def goal(self) -> str:
        """The task in words: a rule and two colours."""
        return f"{FAMILIES[self.family].rule} {self.colours[0]} {self.colours[1]}"

    def script(self, bits: Sequence[int]) -> tuple[Event, ...]:
        """What happens in one of the four videos, by slot; the closing lids are not told."""
        events = [*self.nuisance]
        for place, slots, flip, bit in zip(STATIONS, self.slots, self.flips, bits, strict=True):
            deeds = station_deeds(self.family, self.colours, bit, flip)
            events += [Event(slot, verb, colour, place) for slot, (verb, colour) in zip(slots, deeds, strict=True)]
        return tuple(sorted(events, key=lambda event: event.slot))

    def key(self) -> str:
        """Names the four videos and the goal whatever they look like; no two octets of a benchmark share it."""
        scripts = sorted(";".join(map(_phrase, self.script(bits))) for bits in BITS)
        goal = (self.family, *sorted(self.colours))
        return hashlib.sha256(json.dumps([goal, scripts]).encode()).hexdigest()


def station_deeds(family: str, colours: Sequence[str], bit: int, flip: int) -> list[tuple[str, str]]:
    """What is done at a station whose hidden bit is ``bit``, in order. ``flip`` reorders both values alike."""
    this, other = (colours[bit], colours[1 - bit])
    if family == "FILL":
        return [("put", this)]
    if family == "STACK":
        return [("put", this), ("put", other)]
    if family == "COUNT":  # the odd one out is the flip-th
        return [("put", other if i == flip % 3 else this) for i in range(3)]
    if family == "UNDO":  # first both in a shared order, then one out again
        first = [("put", colours[flip % 2]), ("put", colours[1 - flip % 2])]
        return [*first, ("take", other)]
    raise ValueError(f"family: expected one of {', '.join(FAMILIES)}, found {family!r}")


def contents(events: Iterable[Event | tuple[int, str, str, str]], place: str) -> tuple[str, ...]:
    """What a box holds after the events, lowest first; takes what is not there in vain."""
    held: list[str] = []
    for event in events:
        _, verb, colour, where = event if isinstance(event, tuple) else _fields(event)
        if where != place:
            continue
        if verb == "put":
            held.append(colour)
        elif colour in held:
            held.reverse()
            held.remove(colour)  # the topmost of its colour
            held.reverse()
    return tuple(held)


def needed(goal: str, held: Sequence[str]) -> str | None:
    """The colour that a station with these contents needs next; None where the rule does not decide."""
    rule, first, second = parse_goal(goal)
    counts = {colour: list(held).count(colour) for colour in (first, second)}
    if rule == SAME_ORDER:
        return held[0] if held else None
    if rule == ONE_OF_EACH:
        missing = [colour for colour, count in counts.items() if count == 0]
        return missing[0] if len(missing) == 1 else None
    if rule == AS_MANY:
        return None if counts[first] == counts[second] else min(counts, key=lambda colour: counts[colour])
    raise ValueError(f"goal: expected a rule of {ONE_OF_EACH!r}, {SAME_ORDER!r}, {AS_MANY!r}, found {goal!r}")


def parse_goal(goal: str) -> tuple[str, str, str]:
    """Rule and colours of a goal."""
    *rule, first, second = goal.split()
    return " ".join(rule), first, second


def action(colour: str, place: str) -> str:
    """An option's text: one word, so that one token tells it from the others."""
    return f"{colour}@{place}"


def next_action(goal: str, events: Iterable[Event], lamp: str) -> str:
    """The only right next action. Raises if the rule does not single one out."""
    colour = needed(goal, contents(tuple(events), lamp))
    assert colour is not None, f"{goal}: no single next action at {lamp}"
    return action(colour, lamp)


def draw_octets(split: str, count: int, *, seed: int, taken: set[str]) -> Iterator[Octet]:
    """``count`` octets of a split, families in turn, none of whose keys is in ``taken``; adds theirs to it."""
    families = [family for family in FAMILIES.values() if family.held_out == (split == "L3")]
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, SPLITS.index(split)])))
    for index in range(count):
        for _ in range(1000):
            octet = draw_octet(rng, f"{split}-{index:05d}", split, families[index % len(families)])
            if octet.key() not in taken:
                break
        else:
            raise ValueError(f"sizes.{split}: expected at most what the families can tell apart, found {count} octets")
        taken.add(octet.key())
        yield octet


def draw_octet(rng: np.random.Generator, group: str, split: str, family: Family) -> Octet:
    """A random octet of a family."""
    first, second = (COLOURS[i] for i in rng.permutation(len(COLOURS))[:2])
    n = family.events
    slots = [int(slot) for slot in rng.permutation(TAIL)]
    options = [action(colour, place) for colour in (first, second) for place in STATIONS]
    textured = split in ("L2", "L3")
    return Octet(
        group=group,
        split=split,
        family=family.name,
        colours=(first, second),
        slots=(tuple(sorted(slots[:n])), tuple(sorted(slots[n : 2 * n]))),
        flips=(int(rng.integers(6)), int(rng.integers(6))),
        nuisance=tuple(
            Event(slot, VERBS[rng.integers(2)], COLOURS[rng.integers(len(COLOURS))], THIRD) for slot in slots[2 * n :]
        ),
        options=tuple(options[i] for i in rng.permutation(4)),
        background=int(rng.integers(BACKGROUNDS)),
        texture=int(rng.integers(2**31)) if textured else None,
    )


def _fields(event: Event) -> tuple[int, str, str, str]:
    return event.slot, event.verb, event.colour, event.place


def _phrase(event: Event) -> str:
    return " ".join(map(str, _fields(event)))
