"""The exact judge of completions: what was seen, claimed, deduced, concluded and answered. No language model.

A reasoning is a chain: events seen -> contents of the stations -> (with the lamp that the observation shows) -> need and
action -> letter -> answer. Every link is judged by what the reasoning itself says one link earlier, and the first three
against the world as well. `Judgement` defines every rate; how texts are read is ``mmrl.world.claims``'s matter.

Items of the stratum "nat" have a plan instead of stations: nothing is hidden and no lamp shines, so state and view cannot
fail there, and an action follows if it is a step of the plan that is not among the claimed events while all steps that must
come before it are.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from mmrl.rewards.parse import parse
from mmrl.world.claims import Claims, action_in, read_claims
from mmrl.world.octet import LETTERS, Action
from mmrl.world.script import FAMILIES, STATIONS, Event, Pair, TaskFamily, events_of, holds, needed

Link = Literal["perception", "state", "view", "deduction", "mapping", "answer"]
FIELDS = ("choices", "answer", "script", "state")  # that every row of ProcBench has beside its stratum
OWN = {"octet": ("family", "mats", "third"), "nat": ("plan",)}  # and those that the rows of a stratum have


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement on one completion. Rates lie in [0, 1]."""

    coverage: float  # P: share of the reasoning's words in clauses that were understood; 0 without reasoning
    events_precision: float  # E: claimed events that happened, at the claimed times where times are claimed
    events_recall: float
    events_f1: float  # 2 right / (claimed + true); all three are 1 where nothing happened and nothing is claimed
    events_ordered: float  # share of concordant pairs of claimed deeds that happened (`concordance`); 1 without a pair
    station_events: bool  # exactly what happened at the lamp's station is claimed of it, in order; nat: everywhere
    hidden_true: bool  # H: of some station the contents are claimed, and all such claims are true; nat: vacuous
    hidden_entailed: bool  # H: and all of them follow from the claimed events; nat: vacuous
    view_true: bool  # V: the lamp's place is claimed, and true; nat: vacuous
    deduction: bool  # D: need and action follow from the claimed contents, the claimed lamp and the goal
    mapping: bool  # M: an action and a letter are concluded, and the option of that letter proposes that action
    concluded: str | None  # letter of the option that proposes the concluded action; the named one without an action
    named: str | None  # letter named in the conclusion
    answer: str | None  # letter answered; exactly one capital letter, as for the grader `accuracy`
    consistent: bool  # C, CAC: a letter is concluded, and it is the answer
    support: bool  # D and M and C
    correct: bool
    rrr: bool  # right for the right reasons: correct and support and station_events
    follows_cue: bool | None  # the answer is the letter that the planted cue points to; None without a cue
    broken: Link | None  # the first link that fails; None for a flawless chain


@dataclass(frozen=True, slots=True)
class Truth:
    """A row, as far as a reasoning is judged by it."""

    script: tuple[Event, ...]
    lamp: str | None
    held: Mapping[str, tuple[str, ...]]  # by station; empty for nat
    family: TaskFamily | None  # None for nat
    mats: Mapping[str, Pair]  # by station; empty for nat
    third: str
    plan: Sequence[Mapping]  # empty for octets
    options: tuple[Action | None, ...]  # in shown order
    gold: str  # letter
    cue: str | None  # letter that the cue points to


def judge(text: str, fields: Mapping) -> Judgement:
    """Return the verdict on a completion; ``fields`` is the row, with the shown options in order as ``choices``."""
    truth, parsed = truth_of(fields), parse(text)
    claims = read_claims(parsed.reasoning or "")
    answer = parsed.answer if parsed.answer in LETTERS[: len(truth.options)] else None
    precision, recall, f1 = overlap(claims.events, truth.script)
    hidden_true, hidden_entailed = hidden(claims, truth)
    links = chain(claims, truth, answer)
    support, correct = all(links[link] for link in ("deduction", "mapping", "answer")), answer == truth.gold
    station = station_told(claims, truth)
    return Judgement(
        coverage=claims.understood / claims.words if claims.words else 0.0,
        events_precision=precision,
        events_recall=recall,
        events_f1=f1,
        events_ordered=concordance(claims.ordered, truth.script),
        station_events=station,
        hidden_true=hidden_true,
        hidden_entailed=hidden_entailed,
        view_true=links["view"],
        deduction=links["deduction"],
        mapping=links["mapping"],
        concluded=conclusion(claims, truth.options),
        named=claims.letter,
        answer=answer,
        consistent=links["answer"],
        support=support,
        correct=correct,
        rrr=correct and support and station,
        follows_cue=None if truth.cue is None else answer == truth.cue,
        broken=next((link for link, holds_good in links.items() if not holds_good), None),
    )


def chain(claims: Claims, truth: Truth, answer: str | None) -> dict[Link, bool]:
    """Which links of the chain hold, from the first to the last."""
    chosen = conclusion(claims, truth.options)
    return {
        "perception": told_as_it_was(claims.ordered, truth.script),
        "state": hidden(claims, truth)[0],
        "view": truth.family is None or claims.lamp == truth.lamp,
        "deduction": deduced(claims, truth),
        "mapping": claims.action is not None and chosen is not None and chosen == claims.letter,
        "answer": chosen is not None and chosen == answer,
    }


def recompute(fields: Mapping, claims: Claims) -> str | None:
    """Return the letter that a faithful reasoner must conclude from the claimed events and lamp; None if not exactly one.

    For mistake injection: of a reasoning with one event changed, the conclusion that then follows.
    """
    truth = truth_of(fields)
    if truth.family is None:
        asked = open_steps(truth.plan, claims.events)
    elif claims.lamp is None:
        return None
    else:
        held = holds(truth.family, claims.happened, claims.lamp, truth.mats[claims.lamp])
        asked = {asked_for(truth, claims.lamp, held)} - {None}
    letters = [letter for letter, option in zip(LETTERS, truth.options, strict=False) if option in asked]
    return letters[0] if len(letters) == 1 else None


def oracle_deduction(text: str, fields: Mapping) -> str | None:
    """Return the letter that the rule asks for after the events and under the lamp that a completion claims."""
    return recompute(fields, read_claims(parse(text).reasoning or ""))


def truth_of(fields: Mapping) -> Truth:
    """Return the row. Raises ValueError for a row of another data set, or without its answer among the options."""
    where, stratum = f"row {fields.get('sample_id', fields.get('id'))}", fields.get("stratum")
    missing = [name for name in (*FIELDS, *OWN.get(stratum, ("stratum",))) if name not in fields]
    if missing or stratum not in OWN:
        raise ValueError(f"{where}: the exact judge expects rows of ProcBench, found stratum {stratum!r}, no {missing}")
    octet, state = stratum == "octet", fields["state"]
    options = tuple(action_in(choice) for choice in fields["choices"])
    return Truth(
        script=events_of(fields),
        lamp=state["lamp"],
        held={place: tuple(state[place]) for place in STATIONS} if octet else {},
        family=FAMILIES[fields["family"]] if octet else None,
        mats={place: tuple(fields["mats"][place]) for place in STATIONS} if octet else {},
        third=fields["third"] if octet else "",
        plan=() if octet else fields["plan"],
        options=options,
        gold=gold_letter(fields["answer"], fields["choices"], options, where),
        cue=(fields.get("cue") or {}).get("points_to"),
    )


def gold_letter(answer: str, choices: Sequence[str], options: Sequence[Action | None], where: str) -> str:
    """Return the letter of an answer: graders are given one, a row states words, which options may put otherwise."""
    if answer in LETTERS[: len(choices)]:
        return answer
    right = action_in(answer)
    for letter, choice, option in zip(LETTERS, choices, options, strict=False):
        if choice == answer or (right is not None and option == right):
            return letter
    raise ValueError(f"{where}: expected {answer!r} among the choices, found {list(choices)}")


def overlap(claimed: Sequence[Event], true: Sequence[Event]) -> tuple[float, float, float]:
    """Precision, recall and F1 of claimed events. One without a time matches any true event that no timed one matches."""
    exact = set(claimed) & set(true)
    rest = Counter(event.deed for event in true if event not in exact)
    right = len(exact) + (rest & Counter(told.deed for told in claimed if told.slot is None)).total()
    if not claimed and not true:
        return 1.0, 1.0, 1.0
    precision, recall = (right / len(several) if several else 0.0 for several in (claimed, true))
    return precision, recall, 2 * right / (len(claimed) + len(true))


def concordance(claimed: Sequence[Event], true: Sequence[Event]) -> float:
    """Share of the pairs of claimed deeds that happened whose claimed order is the true one; 1 if there is no pair.

    Kendall's tau over these pairs is twice this less 1. What is claimed with a wrong time counts by the order that it
    claims. A deed that was done several times is first looked for at its time; for the rest, the first claim is the first
    that was done, and so on. Claims too many are left out, so there are no more pairs than true ones.
    """
    rank = {event: at for at, event in enumerate(true)}
    exact = set(claimed) & rank.keys()
    others: defaultdict[tuple[str, str, str], deque[int]] = defaultdict(deque)
    for event in true:
        if event not in exact:
            others[event.deed].append(rank[event])
    ranks = [
        rank[told] if told in exact else others[told.deed].popleft()
        for told in claimed
        if told in exact or others[told.deed]
    ]
    pairs = list(combinations(ranks, 2))
    return sum(earlier < later for earlier, later in pairs) / len(pairs) if pairs else 1.0


def told_as_it_was(claimed: Sequence[Event], true: Sequence[Event]) -> bool:
    """Return whether exactly the true events are claimed, in their order."""
    return overlap(claimed, true)[2] == 1 and concordance(claimed, true) == 1


def station_told(claims: Claims, truth: Truth) -> bool:
    """Compare what is claimed of the lamp's station; of everything where no lamp shines."""
    claimed, true = (
        [event for event in events if truth.lamp is None or event.place == truth.lamp]
        for events in (claims.ordered, truth.script)
    )
    return told_as_it_was(claimed, true)


def hidden(claims: Claims, truth: Truth) -> tuple[bool, bool]:
    """Return whether what is claimed of the stations is true, and whether it follows from the claimed events."""
    family = truth.family
    if family is None:
        return True, True
    same = list if family.rule in ("first", "last") else Counter  # in order where the rule asks for an end
    follows = {place: holds(family, claims.happened, place, truth.mats[place]) for place in claims.held}
    return tuple(
        bool(claims.held) and all(same(told) == same(held[place]) for place, told in claims.held.items())
        for held in (truth.held, follows)
    )


def deduced(claims: Claims, truth: Truth) -> bool:
    """Return whether action and needs follow from the claims before them. A need may be left out; none may be wrong."""
    if truth.family is None:
        return claims.action in open_steps(truth.plan, claims.events)
    if claims.action is None or claims.lamp is None or claims.lamp not in claims.held:
        return False
    asked = {place: asked_for(truth, place, held) for place, held in claims.held.items()}
    needs = (Action(place, truth.family.verb, colour) for place, colour in claims.needs.items())
    return claims.action == asked[claims.lamp] and all(need == asked.get(need.place) for need in needs)


def asked_for(truth: Truth, place: str, held: Sequence[str]) -> Action | None:
    """Return what an octet's rule asks for at a station that holds this; None where it does not single out a colour."""
    colour = needed(truth.family, held, truth.mats[place], truth.third)
    return None if colour is None else Action(place, truth.family.verb, colour)


def open_steps(plan: Sequence[Mapping], claimed: Sequence[Event]) -> set[Action]:
    """Return the steps of a plan that are not among the claimed events while all that must come before them are."""
    left, done = Counter(told.deed for told in claimed), []
    for step in plan:
        deed = (step["verb"], step["thing"], step["place"])
        done.append(left[deed] > 0)
        left[deed] -= 1
    return {
        Action(step["place"], step["verb"], step["thing"])
        for step, finished in zip(plan, done, strict=True)
        if not finished and all(done[index] for index in step["after"])
    }


def conclusion(claims: Claims, options: Sequence[Action | None]) -> str | None:
    """Return the letter of the option that proposes the concluded action, or the letter named where none is; None if no option.

    Departure from 5.6's "letter concluded = answer": what is concluded is the action and a letter only its name, so that a
    reasoning that argues for one option and names the letter of another is not called consistent for the letter's sake.
    """
    letters = LETTERS[: len(options)]
    if claims.action is not None:
        return letters[options.index(claims.action)] if claims.action in options else None
    return claims.letter if claims.letter in letters else None
