"""Ceilings: the most that a solver reaches who has part of an item's information and knows the members of its group.

The members of a group are parted by what the information shows of them; in each part the best that the solver can do is
the option that is right most often. This bounds every model, learned or not. The solver knows
no rule of the world: it compares what is shown and counts which option is right.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmark.procbench.items import Item, by_family, by_group, letters
from mmrl.world.script import FAMILIES, STATIONS, Event

BEST_EVENT = 74.0  # at most: where any event tells most, chance still decides which station it is at
Information = Callable[[Item], Hashable]


def last_station_event(item: Item) -> Event | None:
    """Return the last thing that happens at a station."""
    return next((event for event in reversed(item.events) if event.place in STATIONS), None)


def bag(item: Item) -> Hashable:
    """Return the events without their order and times."""
    return frozenset(Counter((event.verb, event.thing, event.place) for event in item.events).items())


INFORMATION: Mapping[str, Information] = {
    "blind": lambda item: None,
    "observation": lambda item: item.lamp,
    "video": lambda item: item.events,
    "last_event": lambda item: (item.lamp, item.events[-1:]),
    "last_station_event": lambda item: (item.lamp, last_station_event(item)),
    "first_half": lambda item: (item.lamp, item.events[: len(item.events) // 2]),
    "unordered": lambda item: (item.lamp, bag(item)),
    "everything": lambda item: (item.lamp, item.events),
}
ROWS: Mapping[str, str] = {  # in the order of the printed table
    "blind": "text + options (blind)",
    "observation": "observation only",
    "video": "video only",
    "last_event": "observation + last event",
    "last_station_event": "observation + last event at a station",
    "best_event": "observation + best fixed single event",
    "mean_event": "observation + mean single event",
    "first_half": "observation + first half of the events",
    "unordered": "observation + unordered events",
    "everything": "everything",
}
EXACT: Mapping[str, float] = {"blind": 25, "observation": 50, "video": 50, "last_event": 50, "everything": 100}


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The ceilings of some items, in percent."""

    groups: int
    items: int
    letters: dict[str, int]  # how often each is right
    rows: dict[str, float]  # by the names of ROWS
    events: list[float]  # of the observation and the event at each index, which best and mean are taken over


def ceilings(items: Sequence[Item]) -> Ceilings:
    """Return all ceilings of items that are groups of siblings."""
    groups, longest = list(by_group(items)), most_events(items)
    told = [[right(group, at_index(index)) for index in range(longest)] for group in groups]
    events = [100 * sum(counts) / len(items) for counts in zip(*told, strict=True)]
    mean = sum(fmean(counts[: most_events(group)]) for group, counts in zip(groups, told, strict=True))
    rows = {name: ceiling(groups, shown) for name, shown in INFORMATION.items()}
    rows |= {"best_event": max(events), "mean_event": 100 * mean / len(items)}
    return Ceilings(len(groups), len(items), letters(items), {name: rows[name] for name in ROWS}, events)


def ceiling(groups: Iterable[Sequence[Item]], shown: Information) -> float:
    """Percent of the items that a solver gets right who sees the text and what is shown."""
    counts = [(right(group, shown), len(group)) for group in groups]
    found, total = map(sum, zip(*counts, strict=True))
    return 100 * found / total  # exact for whole percents: one rounding, of a quotient of whole numbers


def right(group: Sequence[Item], shown: Information) -> int:
    """Return how many of a group's items the best solver gets right who sees the text and what is shown."""
    parts: defaultdict[Hashable, Counter[int]] = defaultdict(Counter)
    for item in group:
        parts[item.text, shown(item)][item.gold] += 1
    return sum(max(golds.values()) for golds in parts.values())


def most_events(items: Iterable[Item]) -> int:
    """Events in the longest clip."""
    return max(len(item.events) for item in items)


def at_index(index: int) -> Information:
    """Return the observation and one event; no event where the clip has fewer."""
    return lambda item: (item.lamp, item.events[index : index + 1])


def of_families(items: Sequence[Item]) -> dict[str, Ceilings]:
    """Ceilings of every family among the items."""
    return {name: ceilings(several) for name, several in by_family(items).items()}


def leaks(family: str, found: Ceilings, ordered: bool) -> list[str]:
    """Return every way in which a family is not what the design promises, one line each; empty for a sound one."""
    exact = {**EXACT, "unordered": 50} if ordered else EXACT
    lines = [
        f"{family}: {ROWS[row]}: expected exactly {expected:g}, found {found.rows[row]:.2f}"
        for row, expected in exact.items()
        if found.rows[row] != expected
    ]
    if found.rows["best_event"] > BEST_EVENT:
        best = found.events.index(max(found.events))
        value = found.rows["best_event"]
        lines.append(
            f"{family}: {ROWS['best_event']}: expected at most {BEST_EVENT:g}, found {value:.2f} (event {best})"
        )
    if len(set(found.letters.values())) > 1:
        lines.append(f"{family}: letters: expected each right equally often, found {found.letters}")
    return lines


def all_leaks(table: Mapping[str, Ceilings]) -> list[str]:
    """Return the leaks of the world's own families."""
    return [line for name, found in table.items() for line in leaks(name, found, FAMILIES[name].ordered)]


def cue_right(items: Sequence[Item]) -> float | None:
    """Percent of the items with a planted cue in which it points to the right option; None without cues."""
    cued = [item for item in items if item.cue is not None]
    return 100 * sum(item.cue == item.gold for item in cued) / len(cued) if cued else None


def means(table: Mapping[str, Ceilings]) -> dict[str, dict[str, float]]:
    """Plain means over the training families and over those held out."""
    parts = {"training families": False, "held-out families": True}
    found = {part: [table[name] for name in table if FAMILIES[name].held_out == held] for part, held in parts.items()}
    return {
        part: {row: sum(one.rows[row] for one in several) / len(several) for row in ROWS}
        for part, several in found.items()
        if several
    }


def cells(table: Mapping[str, Ceilings]) -> tuple[list[str], list[list[str]]]:
    """Return the table of ceilings: a line an information, a column a family, in percent."""
    lines = [[words, *(f"{found.rows[row]:.1f}" for found in table.values())] for row, words in ROWS.items()]
    return ["information", *table], lines
