"""The script of a clip, as symbols: events, the state that they leave at a station, and the rule of each family.

A clip is eight slots. Two stations, left and right, hide what is done to them; one event at a third box does not matter;
in the last slot all lids close. Every station hides one bit: ``TaskFamily.deeds`` says what happens there for either value,
``Station`` what that leaves behind, ``needed`` which colour the rule then asks for. Nothing here knows of pixels or of words.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan", "orange", "white")
STATIONS = ("left", "right")
THIRD = "top"  # the box whose events never matter
PLACES = (*STATIONS, THIRD)
SLOTS = 8
TAIL = SLOTS - 1  # in which all lids close
BITS = ((0, 0), (0, 1), (1, 0), (1, 1))  # of (left, right): the four videos of an octet
BOTH, KEY = "both", "key"  # what is swapped, what is dropped
VERBS = ("put", "take", "hide", "swap", "visit", "dry", "dab", "open", "close", "drop", "pour")
# What each is done to: a colour, if not said otherwise. To hide is to put a ball under the cup on the mat of this colour, to dab
# is to dry too short; what stands on a station's two mats is swapped.
THINGS: Mapping[str, tuple[str, ...]] = dict.fromkeys(VERBS, COLOURS) | {"swap": (BOTH,), "drop": (KEY,)}
Pair = tuple[str, str]  # the two colours of a station, in the goal's order
Deed = tuple[str, str]  # verb, thing


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens in one slot."""

    slot: int | None  # None only where a reasoning tells no time
    verb: str
    thing: str
    place: str

    @property
    def deed(self) -> tuple[str, str, str]:
        """Return what happened, whenever it did."""
        return self.verb, self.thing, self.place


def events_of(row: Mapping) -> tuple[Event, ...]:
    """Return what happens in the video of an annotation file's row."""
    return tuple(Event(event["slot"], event["verb"], event["thing"], event["place"]) for event in row["script"])


@dataclass(slots=True)
class Station:
    """The contents that a station hides. ``mats`` are its two colours; what stands on them can be swapped."""

    mats: Pair
    pile: tuple[str, ...] = ()  # lowest first
    on: tuple[tuple[str, ...], ...] = ((), ())  # what stands on either mat
    stops: tuple[str, ...] = ()
    dried: tuple[str, ...] = ()
    shut: frozenset[str] = frozenset()  # its drawers of these colours
    key: tuple[str, ...] = ()  # the drawer that it fell into

    @property
    def ball(self) -> tuple[str, ...]:
        """Return the mats that a ball is on."""
        return tuple(mat for mat, held in zip(self.mats, self.on, strict=True) if "ball" in held)

    def apply(self, verb: str, thing: str) -> None:
        """Do a deed. Deeds on what is not there are in vain, and what is only dabbed is not dry."""
        if verb in ("put", "pour"):
            self.pile += (thing,)
        if verb in ("put", "hide"):  # a colour that is no mat's changes nothing
            what = "ball" if verb == "hide" else thing
            pairs = zip(self.mats, self.on, strict=True)
            self.on = tuple((*held, what) if mat == thing else held for mat, held in pairs)
        elif verb == "take" and thing in self.pile:
            topmost = len(self.pile) - 1 - self.pile[::-1].index(thing)
            self.pile = self.pile[:topmost] + self.pile[topmost + 1 :]
        elif verb == "swap":
            self.on = self.on[::-1]
        elif verb == "visit":
            self.stops += (thing,)
        elif verb == "dry":
            self.dried += (thing,)
        elif verb in ("open", "close"):
            self.shut = self.shut - {thing} if verb == "open" else self.shut | {thing}
        elif verb == "drop":  # into the only drawer that is open; where both are or none is, it lies about
            drawers = tuple(mat for mat in self.mats if mat not in self.shut)
            self.key = drawers if len(drawers) == 1 else self.key


def after(deeds: Iterable[Deed], mats: Pair) -> Station:
    """Return what a station hides after deeds in order, from nothing."""
    station = Station(mats)
    for verb, thing in deeds:
        station.apply(verb, thing)
    return station


@dataclass(frozen=True, slots=True)
class TaskFamily:
    """A kind of task."""

    name: str
    task: str  # its words in the goal; some name a third colour
    verb: str  # of the action that is asked for
    events: int  # at each station
    held: Callable[[Station], tuple[str, ...]]  # the part of a station's state that the rule is about
    rule: Literal["missing", "rarer", "first", "last"]
    ordered: bool = False  # whether the same events in another order ask for another action
    held_out: bool = False  # only in L3

    def deeds(self, mats: Pair, third: str, bit: int, flip: int) -> list[Deed]:
        """Return what happens at a station that hides a bit; ``flip`` is an order that says nothing of it."""
        this, that = mats[bit], mats[1 - bit]
        first, second = mats[flip % 2], mats[1 - flip % 2]
        swap, puts = [("swap", BOTH)], [("put", first), ("put", second)]
        return {
            "FILL": [("put", this)],
            "STACK": [("put", this), ("put", that)],
            "COUNT": [("put", that if i == flip % 3 else this) for i in range(3)],
            "SHELL": [*swap, ("hide", first)] if bit else [("hide", first), *swap],
            "ROUTE": [("visit", this), ("visit", third), ("visit", that)],
            "DRY": [("dry" if colour == this else "dab", colour) for colour in (first, second)],
            "UNDO": [*puts, ("take", that)],
            "KEY": [("close", this), ("drop", KEY), ("close", that)],
            "MIX": [("pour", third), ("pour", this)] if flip % 2 else [("pour", this), ("pour", third)],
            "DELIVER": [*swap, *puts] if bit else [*puts, *swap],  # boxes keep what they hold when they are swapped
        }[self.name]


FAMILIES: Mapping[str, TaskFamily] = {
    family.name: family
    for family in (
        TaskFamily("FILL", "one of each in the box", "put", 1, lambda s: s.pile, "missing"),
        TaskFamily("STACK", "fetch the lowest first", "fetch", 2, lambda s: s.pile, "first", ordered=True),
        TaskFamily("COUNT", "as many of each in the box", "put", 3, lambda s: s.pile, "rarer"),
        TaskFamily("SHELL", "find the ball under the cup", "lift", 2, lambda s: s.ball, "first", ordered=True),
        TaskFamily("ROUTE", "go the same way back past {third}", "visit", 3, lambda s: s.stops, "last", ordered=True),
        TaskFamily("DRY", "dry each for long", "dry", 2, lambda s: s.dried, "missing"),
        TaskFamily("UNDO", "one of each in the box", "put", 3, lambda s: s.pile, "missing", held_out=True),
        TaskFamily("KEY", "find the key", "open", 3, lambda s: s.key, "first", ordered=True, held_out=True),
        TaskFamily("MIX", "one of each and {third} in the box", "pour", 2, lambda s: s.pile, "missing", held_out=True),
        TaskFamily(
            "DELIVER",
            "one of each in the first box",
            "put",
            3,
            lambda s: s.on[0],
            "missing",
            ordered=True,
            held_out=True,
        ),
    )
}


def needed(family: TaskFamily, held: Sequence[str], mats: Pair, third: str) -> str | None:
    """Return the colour that the rule asks for where a station holds this; None where it does not single one out."""
    if family.rule == "missing":
        wanted = (*mats, third) if "{third}" in family.task else mats
        missing = [colour for colour in wanted if colour not in held]
        return missing[0] if len(missing) == 1 else None
    if family.rule == "rarer":
        first, second = map(held.count, mats)
        return None if first == second else mats[first > second]
    end = held[:1] if family.rule == "first" else held[-1:]
    return next((colour for colour in end if colour in mats), None)


def holds(family: TaskFamily, events: Iterable[Event], place: str, mats: Pair) -> tuple[str, ...]:
    """Return what a station holds after events in order of their slots, as far as the family's rule asks."""
    there = (event for event in sorted(events, key=lambda event: event.slot) if event.place == place)
    return family.held(after(((event.verb, event.thing) for event in there), mats))
