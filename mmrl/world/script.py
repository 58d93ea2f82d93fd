"""The script of a clip, as symbols: events, the state that they leave at a station, and the rule of each family.

A clip is eight slots. Two stations, left and right, hide what is done to them; one event at a third box does not matter;
in the last slot all lids close. Every station hides one bit: ``deeds`` says what happens there for either value, ``Station``
what that leaves behind, ``needed`` which colour the rule then asks for. Nothing here knows of pixels or of words.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan", "orange", "white")
STATIONS = ("left", "right")
THIRD = "top"  # the box whose events never matter
PLACES = (*STATIONS, THIRD)
SLOTS = 8
TAIL = SLOTS - 1  # in which all lids close
BITS = ((0, 0), (0, 1), (1, 0), (1, 1))  # of (left, right): the four videos of an octet
BOTH, KEY = "both", "key"  # what is swapped, what is dropped
THINGS: Mapping[str, tuple[str, ...]] = {  # what each verb is done to
    "put": COLOURS,
    "take": COLOURS,
    "hide": COLOURS,  # a ball, under the cup on the mat of this colour
    "swap": (BOTH,),  # what stands on a station's two mats
    "visit": COLOURS,
    "dry": COLOURS,  # for long
    "dab": COLOURS,  # dried too short
    "open": COLOURS,
    "close": COLOURS,
    "drop": (KEY,),
    "pour": COLOURS,
}
VERBS = tuple(THINGS)
Pair = tuple[str, str]  # the two colours of a station, in the goal's order
Deed = tuple[str, str]  # verb, thing


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens in one slot."""

    slot: int
    verb: str
    thing: str
    place: str


@dataclass(frozen=True, slots=True)
class Station:
    """The contents that a station hides. ``mats`` are its two colours; what stands on them can be swapped."""

    mats: Pair
    pile: tuple[str, ...] = ()  # lowest first
    on: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())  # what stands on either mat
    stops: tuple[str, ...] = ()
    dried: tuple[str, ...] = ()
    shut: frozenset[str] = frozenset()  # its drawers of these colours
    key: tuple[str, ...] = ()  # the drawer that it fell into

    def apply(self, verb: str, thing: str) -> "Station":
        """Return what the station hides after a deed. Deeds on what is not there are in vain."""
        return APPLY[verb](self, thing)


def _put(station: Station, thing: str) -> Station:
    return replace(station, pile=(*station.pile, thing), on=_onto(station, thing, thing))


def _take(station: Station, thing: str) -> Station:
    if thing not in station.pile:
        return station
    topmost = len(station.pile) - 1 - station.pile[::-1].index(thing)
    return replace(station, pile=station.pile[:topmost] + station.pile[topmost + 1 :])


def _hide(station: Station, mat: str) -> Station:
    return replace(station, on=_onto(station, mat, "ball"))


def _onto(station: Station, mat: str, what: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Something is set down on the mat of a colour; a colour that is no mat's changes nothing."""
    first, second = ((*held, what) if mat == own else held for own, held in zip(station.mats, station.on, strict=True))
    return first, second


def _drop(station: Station, _: str) -> Station:
    """The key falls into the only drawer that is open; where both are or none is, it lies about."""
    drawers = tuple(mat for mat in station.mats if mat not in station.shut)
    return replace(station, key=drawers) if len(drawers) == 1 else station


APPLY: Mapping[str, Callable[[Station, str], Station]] = {
    "put": _put,
    "take": _take,
    "hide": _hide,
    "swap": lambda station, _: replace(station, on=(station.on[1], station.on[0])),
    "visit": lambda station, thing: replace(station, stops=(*station.stops, thing)),
    "dry": lambda station, thing: replace(station, dried=(*station.dried, thing)),
    "dab": lambda station, _: station,
    "open": lambda station, thing: replace(station, shut=station.shut - {thing}),
    "close": lambda station, thing: replace(station, shut=station.shut | {thing}),
    "drop": _drop,
    "pour": lambda station, thing: replace(station, pile=(*station.pile, thing)),
}


def after(deeds: Iterable[Deed], mats: Pair) -> Station:
    """Return what a station hides after deeds in order, from nothing."""
    station = Station(mats)
    for verb, thing in deeds:
        station = station.apply(verb, thing)
    return station


Rule = Literal["missing", "rarer", "first", "last"]


@dataclass(frozen=True, slots=True)
class TaskFamily:
    """A kind of task."""

    name: str
    task: str  # its words in the goal; some name a third colour
    verb: str  # of the action that is asked for
    events: int  # at each station
    deeds: Callable[[Pair, str, int, int], list[Deed]]  # of (mats, third colour, bit, flip): what happens at a station
    held: Callable[[Station], tuple[str, ...]]  # the part of a station's state that the rule is about
    rule: Rule
    ordered: bool = False  # whether the same events in another order ask for another action
    held_out: bool = False  # only in L3

    @property
    def third(self) -> bool:
        """Return whether the goal names a third colour."""
        return "{third}" in self.task


def needed(family: TaskFamily, held: Sequence[str], mats: Pair, third: str) -> str | None:
    """Return the colour that the rule asks for where a station holds this; None where it does not single one out."""
    wanted = (*mats, third) if family.third and family.rule == "missing" else mats
    if family.rule == "missing":
        missing = [colour for colour in wanted if colour not in held]
        return missing[0] if len(missing) == 1 else None
    if family.rule == "rarer":
        first, second = (list(held).count(colour) for colour in mats)
        return None if first == second else mats[first > second]
    if not held or held[0 if family.rule == "first" else -1] not in mats:
        return None
    return held[0] if family.rule == "first" else held[-1]


def _fill(mats: Pair, third: str, bit: int, flip: int) -> list[Deed]:
    return [("put", mats[bit])]


def _stack(mats: Pair, third: str, bit: int, flip: int) -> list[Deed]:
    return [("put", mats[bit]), ("put", mats[1 - bit])]


def _count(mats: Pair, third: str, bit: int, flip: int) -> list[Deed]:
    """Two of one colour; where the other one stands in the order is the flip."""
    return [("put", mats[1 - bit] if i == flip % 3 else mats[bit]) for i in range(3)]


def _shell(mats: Pair, third: str, bit: int, flip: int) -> list[Deed]:
    deeds = [("hide", mats[flip % 2]), ("swap", BOTH)]
    return deeds if bit == 0 else deeds[::-1]


def _route(mats: Pair, third: str, bit: int, flip: int) -> list[Deed]:
    return [("visit", mats[bit]), ("visit", third), ("visit", mats[1 - bit])]


def _dry(mats: Pair, third: str, bit: int, flip: int) -> list[Deed]:
    deeds = [("dry" if i == bit else "dab", colour) for i, colour in enumerate(mats)]
    return deeds[::-1] if flip % 2 else deeds


def _undo(mats: Pair, third: str, bit: int, flip: int) -> list[Deed]:
    first, second = (mats[flip % 2], mats[1 - flip % 2])
    return [("put", first), ("put", second), ("take", mats[1 - bit])]


def _key(mats: Pair, third: str, bit: int, flip: int) -> list[Deed]:
    return [("close", mats[bit]), ("drop", KEY), ("close", mats[1 - bit])]


def _mix(mats: Pair, third: str, bit: int, flip: int) -> list[Deed]:
    deeds = [("pour", mats[bit]), ("pour", third)]
    return deeds[::-1] if flip % 2 else deeds


def _deliver(mats: Pair, third: str, bit: int, flip: int) -> list[Deed]:
    """Either colour goes into the box on its own mat; boxes keep what they hold when they are swapped."""
    puts = [("put", mats[flip % 2]), ("put", mats[1 - flip % 2])]
    return [*puts, ("swap", BOTH)] if bit == 0 else [("swap", BOTH), *puts]


def _ball(station: Station) -> tuple[str, ...]:
    return tuple(mat for mat, held in zip(station.mats, station.on, strict=True) if "ball" in held)


FAMILIES: Mapping[str, TaskFamily] = {
    family.name: family
    for family in (
        TaskFamily("FILL", "one of each in the box", "put", 1, _fill, lambda s: s.pile, "missing"),
        TaskFamily("STACK", "fetch the lowest first", "fetch", 2, _stack, lambda s: s.pile, "first", ordered=True),
        TaskFamily("COUNT", "as many of each in the box", "put", 3, _count, lambda s: s.pile, "rarer"),
        TaskFamily("SHELL", "find the ball under the cup", "lift", 2, _shell, _ball, "first", ordered=True),
        TaskFamily(
            "ROUTE", "go the same way back past {third}", "visit", 3, _route, lambda s: s.stops, "last", ordered=True
        ),
        TaskFamily("DRY", "dry each for long", "dry", 2, _dry, lambda s: s.dried, "missing"),
        TaskFamily("UNDO", "one of each in the box", "put", 3, _undo, lambda s: s.pile, "missing", held_out=True),
        TaskFamily("KEY", "find the key", "open", 3, _key, lambda s: s.key, "first", ordered=True, held_out=True),
        TaskFamily(
            "MIX", "one of each and {third} in the box", "pour", 2, _mix, lambda s: s.pile, "missing", held_out=True
        ),
        TaskFamily(
            "DELIVER",
            "one of each in the first box",
            "put",
            3,
            _deliver,
            lambda s: s.on[0],
            "missing",
            ordered=True,
            held_out=True,
        ),
    )
}


def at(events: Iterable[Event], place: str) -> list[Deed]:
    """Return what the events do to one place, in order of their slots."""
    return [(e.verb, e.thing) for e in sorted(events, key=lambda e: e.slot) if e.place == place]


def holds(family: TaskFamily, events: Iterable[Event], place: str, mats: Pair) -> tuple[str, ...]:
    """Return what a station holds after events, as far as the family's rule asks."""
    return family.held(after(at(events, place), mats))
