"""Items as a solver meets them: what they show in text, video and observation, and the right option.

From freshly drawn octets or from the annotation files of a rendered benchmark. Of the world's rules nothing is used here
but the answer that a generator or a file states.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmrl.runtime.json_lines import read
from mmrl.world.dice import Dice
from mmrl.world.grammar import question
from mmrl.world.nat import Nat
from mmrl.world.octet import LETTERS, Octet, draw_octet
from mmrl.world.script import BITS, FAMILIES, STATIONS, TAIL, Event, events_of

LIDS = Event(TAIL, "close", "all", "lids")  # how every clip ends; no script tells it
OCTET, NAT = "octet", "nat"  # strata


@dataclass(frozen=True, slots=True)
class Item:
    """One question."""

    group: str  # items of a group share goal and options
    family: str
    question: str
    options: tuple[str, ...]
    events: tuple[Event, ...]  # in order, the closing lids with them
    lamp: str | None  # all that the observation shows; it does not shine in natural items
    gold: int  # index of the right option
    stratum: str = OCTET
    cue: int | None = None  # the option to which a planted cue points

    @property
    def text(self) -> tuple[str, ...]:
        """All that is there to read."""
        return (self.question, *self.options)


def of_octet(octet: Octet) -> list[Item]:
    """Return the eight items of an octet."""
    options = tuple(map(str, octet.options))
    return [
        Item(
            group=octet.group,
            family=octet.family,
            question=question(octet.goal),
            options=options,
            events=with_lids(octet.script(bits)),
            lamp=lamp,
            gold=options.index(str(octet.action(bits, lamp))),
        )
        for bits in BITS
        for lamp in STATIONS
    ]


def of_nat(nat: Nat) -> Item:
    """Return a natural item; a group of its own."""
    return Item(
        group=nat.group,
        family=nat.family,
        question=question(nat.goal),
        options=tuple(map(str, nat.options)),
        events=with_lids(nat.script()),
        lamp=None,
        gold=nat.options.index(nat.gold),
        stratum=NAT,
    )


def drawn(family: str, octets: int, seed: int) -> list[Item]:
    """Return the items of random octets of a family; the first do not depend on how many follow."""
    kind = FAMILIES[family]
    split = "L3" if kind.held_out else "L1"
    names = ((f"{family}-{index:05d}", Dice(seed, "benchmark", family, index)) for index in range(octets))
    return [item for group, dice in names for item in of_octet(draw_octet(dice, group, split, kind))]


def with_lids(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return the events in order, and the closing lids behind them if they are not told.

    Nothing where there is no video.
    """
    told = tuple(sorted(events, key=lambda event: event.slot))
    return told if not told or told[-1].slot == TAIL else (*told, LIDS)


def of_row(row: Mapping) -> Item:
    """Return the item of an annotation row. Raises ValueError for a row that is not ProcBench's."""
    try:
        return Item(
            group=row["group_id"],
            family=row["family"],
            question=row["question"],
            options=tuple(row[f"choice_{letter.lower()}"] for letter in LETTERS),
            events=with_lids(events_of(row)),
            lamp=row["state"]["lamp"],
            gold=LETTERS.index(row["golden_choice_idx"]),
            stratum=row["stratum"],
            cue=LETTERS.index(row["cue"]["points_to"]) if (row.get("cue") or {}).get("points_to") else None,
        )
    except KeyError as error:
        name = row.get("sample_id", "without sample_id")
        raise ValueError(f"row {name}: expected the field {error}; render the benchmark anew") from error


def of_root(root: Path) -> dict[str, list[Item]]:
    """Return the items of every validation file of a rendered benchmark, by level."""
    files = sorted((root / "annotations").glob("validation_*.jsonl"))
    if not files:
        raise ValueError(
            f"{root}: expected annotations/validation_*.jsonl, found none; mmrl world render DIR makes them"
        )
    return {path.stem.removeprefix("validation_"): [of_row(row) for row in read(path)] for path in files}


def whole_octets(items: Sequence[Item]) -> list[Item]:
    """Return the items of the octet stratum whose groups have all eight members."""
    octets = [item for item in items if item.stratum == OCTET]
    members = Counter(item.group for item in octets)
    return [item for item in octets if members[item.group] == 8]


def by_family(items: Iterable[Item]) -> dict[str, list[Item]]:
    """Items by family, in the order of the families' table; families that it lacks come last."""
    found: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        found[item.family].append(item)
    return {name: found[name] for name in sorted(found, key=lambda name: (rank(name), name))}


def by_group(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Items group by group."""
    found: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        found[item.group].append(item)
    return iter(found.values())


def rank(family: str) -> int:
    """Where a family stands in the table."""
    names = list(FAMILIES)
    return names.index(family) if family in names else len(names)


def letters(items: Iterable[Item]) -> dict[str, int]:
    """Return how often each letter is right."""
    found = Counter(LETTERS[item.gold] for item in items)
    return {letter: found[letter] for letter in LETTERS}
