"""The exact judge of completions: what was seen, claimed, deduced, concluded and answered. No language model.

It reads clauses parted by full stops, tolerates any order and unknown sentences (which it counts), and takes time
linear in the text. Of several clauses about the same thing the last one counts. Definitions after
facts/evaluation.md 5.6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

from mmrl.rewards.parse import parse
from mmrl.world.grammar import TIMES, script_of
from mmrl.world.script import COLOURS, LETTERS, PLACES, STATIONS, VERBS, Event, action, contents, needed

Link = Literal["perception", "state", "view", "deduction", "mapping", "answer"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is true of one completion. Rates in [0, 1]."""

    coverage: float  # share of the reasoning's words that belong to a clause that was understood; 0 without reasoning
    events_precision: float  # claimed events that happened, times included; 0 if none was claimed
    events_recall: float
    events_f1: float
    events_ordered: float  # share of the pairs of claimed true events told in their order; 1 if there is no pair
    station_events: bool  # exactly the true events are claimed of the lamp's station
    hidden_true: bool  # of some station the contents are claimed, and what is claimed is true
    hidden_entailed: bool  # what is claimed of stations follows from the claimed events
    view_true: bool
    deduction: bool  # need and action follow from the claimed contents, the claimed lamp and the goal
    mapping: bool  # the letter concluded is that of the action concluded
    concluded: str | None  # letter of the option that the reasoning concludes
    answer: str | None  # letter answered
    consistent: bool  # a letter was concluded, and it was answered
    support: bool  # deduction, mapping and consistent
    correct: bool
    broken: Link | None  # the first link that fails; None for a flawless chain


@dataclass(slots=True)
class Claims:
    """What a reasoning says."""

    events: list[Event] = field(default_factory=list)
    held: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lamp: str | None = None
    need: tuple[str, str] | None = None  # station, colour
    action: str | None = None
    letter: str | None = None
    words: int = 0
    understood: int = 0


def judge(text: str, fields: Mapping) -> Verdict:
    """The verdict on a completion. ``fields`` is the row, with the shown option texts in order under ``choices``."""
    parsed = parse(text)
    claims = read(parsed.reasoning or "")
    shown, script = list(fields["choices"]), script_of(fields)
    lamp, held = fields["state"]["lamp"], {place: tuple(fields["state"][place]) for place in STATIONS}
    answer = parsed.answer if parsed.answer in LETTERS else None
    concluded = conclusion(claims, shown)
    precision, recall, f1 = overlap(claims.events, script)
    deduction = deduced(claims, fields["task_goal"])
    mapping = claims.letter is not None and claims.action in shown and claims.letter == concluded
    consistent = concluded is not None and concluded == answer
    links: dict[Link, bool] = {
        "perception": f1 == 1,
        "state": bool(claims.held) and claims.held.items() <= held.items(),
        "view": claims.lamp == lamp,
        "deduction": deduction,
        "mapping": mapping,
        "answer": consistent,
    }
    return Verdict(
        coverage=claims.understood / claims.words if claims.words else 0.0,
        events_precision=precision,
        events_recall=recall,
        events_f1=f1,
        events_ordered=in_order(claims.events, script),
        station_events=[e for e in claims.events if e.place == lamp] == [e for e in script if e.place == lamp],
        hidden_true=links["state"],
        hidden_entailed=bool(claims.held)
        and all(told == contents(claims.events, place) for place, told in claims.held.items()),
        view_true=links["view"],
        deduction=deduction,
        mapping=mapping,
        concluded=concluded,
        answer=answer,
        consistent=consistent,
        support=deduction and mapping and consistent,
        correct=answer is not None
        and answer in LETTERS[: len(shown)]
        and shown[LETTERS.index(answer)] == fields["answer"],
        broken=next((link for link, holds in links.items() if not holds), None),
    )


def read(reasoning: str) -> Claims:
    """The claims of a reasoning, clause by clause."""
    claims = Claims()
    for sentence in reasoning.replace("\n", " ").split("."):
        words = sentence.split()
        claims.words += len(words)
        claims.understood += _clause(words, claims)
    return claims


def conclusion(claims: Claims, shown: Sequence[str]) -> str | None:
    """The letter of the action concluded, or the letter named where no action is; None if neither is an option."""
    letters = LETTERS[: len(shown)]
    if claims.action is not None:
        return letters[shown.index(claims.action)] if claims.action in shown else None
    return claims.letter if claims.letter in letters else None


def deduced(claims: Claims, goal: str) -> bool:
    """Whether need and action are what the rule asks of the claimed contents at the claimed lamp."""
    if claims.lamp is None or claims.lamp not in claims.held or claims.action is None:
        return False
    colour = needed(goal, claims.held[claims.lamp])
    if colour is None:
        return False
    return claims.action == action(colour, claims.lamp) and claims.need in (None, (claims.lamp, colour))


def overlap(claimed: Sequence[Event], true: Sequence[Event]) -> tuple[float, float, float]:
    """Precision, recall and F1 of the claimed events; an event told twice is right once."""
    right = len(set(claimed) & set(true))
    if not right:
        return 0.0, 0.0, 0.0
    precision, recall = right / len(claimed), right / len(true)
    return precision, recall, 2 * precision * recall / (precision + recall)


def in_order(claimed: Sequence[Event], true: Sequence[Event]) -> float:
    """Share of the pairs of true claims that are told in the order in which they happened."""
    told = [event.slot for event in dict.fromkeys(claimed) if event in set(true)]
    pairs = list(combinations(told[: len(true)], 2))
    return sum(earlier < later for earlier, later in pairs) / len(pairs) if pairs else 1.0


def _clause(words: list[str], claims: Claims) -> int:
    """Adds a sentence's claim; returns how many of its words were understood."""
    match words:
        case ["saw", *rest]:
            return 1 + _events(rest, claims)
        case [place, "holds", *held] if (
            place in STATIONS and held and (held == ["nothing"] or set(held) <= set(COLOURS))
        ):
            claims.held[place] = () if held == ["nothing"] else tuple(held)
        case ["lamp", place] if place in STATIONS:
            claims.lamp = place
        case [place, "needs", colour] if place in STATIONS and colour in COLOURS:
            claims.need = (place, colour)
        case ["so", what] if "@" in what:
            claims.action, claims.letter = what, None
        case ["so", letter] if letter in LETTERS:
            claims.action, claims.letter = None, letter
        case ["so", what, letter] if "@" in what and letter in LETTERS:
            claims.action, claims.letter = what, letter
        case _:
            return 0
    return len(words)


def _events(words: list[str], claims: Claims) -> int:
    """Adds the events of a run of words, four an event; skips words that start none."""
    at = understood = 0
    while at < len(words):
        time, verb, colour, place = (*words[at : at + 4], *[""] * 4)[:4]
        if time in TIMES and verb in VERBS and colour in COLOURS and place in PLACES:
            claims.events.append(Event(TIMES.index(time), verb, colour, place))
            understood, at = understood + 4, at + 4
        else:
            at += 1
    return understood
