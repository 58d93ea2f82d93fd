"""The exact judge: flips of one clause change what follows from it and no more; nothing a garbler does earns support."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import pytest

from mmrl.rewards.run_graders import grade_one
from mmrl.types import Example
from mmrl.world.claims import action_in, read_claims
from mmrl.world.graders import WORLD_GRADERS
from mmrl.world.grammar import TIMES, octet_reasoning, oracle_completion
from mmrl.world.judge import concordance, judge, oracle_deduction, overlap, recompute
from mmrl.world.octet import LETTERS, Action, Octet, draw_octets
from mmrl.world.script import BITS, COLOURS, FAMILIES, SLOTS, STATIONS, TAIL, THINGS, THIRD, VERBS, Event

TAKEN: set[str] = set()
OCTETS = [
    *draw_octets("train", 12, seed=5, taken=TAKEN),
    *draw_octets("L3", 8, seed=5, taken=TAKEN),
]  # two of each family
ITEMS = [(octet, bits, lamp) for octet in OCTETS for bits in BITS for lamp in STATIONS]
Item = tuple[Octet, tuple[int, int], str]


def row(octet: Octet, bits: tuple[int, int], lamp: str) -> dict:
    """What annotate.py writes, as far as the judge reads it, with a cue that points to the right letter."""
    right = octet.action(bits, lamp)
    return {
        "sample_id": f"{octet.group}-{bits[0]}{bits[1]}-{lamp}",
        "task_goal": octet.goal,
        "answer": str(right),
        "oracle_think": octet_reasoning(octet, bits, lamp)[0],
        "group_id": octet.group,
        "family": octet.family,
        "stratum": "octet",
        "mats": {place: list(mats) for place, mats in zip(STATIONS, octet.mats, strict=True)},
        "third": octet.third,
        "script": [asdict(event) | {"start_frame": 0, "stop_frame": 5} for event in octet.script(bits)],
        "state": {"lamp": lamp} | {place: list(octet.holds(bits, place)) for place in STATIONS},
        "cue": {"kind": "border", "strength": 0.8, "points_to": LETTERS[octet.options.index(right)]},
        "choices": [str(option) for option in octet.options],
    }


@dataclass(frozen=True)
class Chain:
    """A reasoning and its answer, clause by clause."""

    events: tuple[Event, ...]
    lamp: str
    held: tuple[str, tuple[str, ...]]
    need: tuple[str, str]
    action: Action
    letter: str
    answer: str

    def terse(self) -> str:
        """As `mmrl.world.grammar` writes it."""
        saw = " ".join(f"{TIMES[e.slot]} {e.verb} {e.thing} {e.place}" for e in self.events)
        (place, needs), (there, held) = self.need, self.held
        holds = f"holds {there} {' '.join(held) or 'nothing'}"
        think = f"saw {saw}. lamp {self.lamp}. {holds}. needs {place} {needs}. so {self.action}"
        return f"<think> {think} {self.letter} </think> <answer> {self.answer} </answer>"

    def long(self, times: bool = True) -> str:
        """The long dialect, hidden claims before the lamp."""
        at = [f" at step {e.slot + 1}" if times else "" for e in self.events]
        told = [
            f"{e.verb} the {e.thing} cube in the {e.place} box{time}" for e, time in zip(self.events, at, strict=True)
        ]
        held = f"the {self.held[0]} box holds {' and '.join(self.held[1]) or 'nothing'}"
        need = f"{self.need[0]} still needs a {self.need[1]} cube"
        act = f"so I should {self.action.verb} the {self.action.colour} cube in the {self.action.place} box"
        think = f"I saw {'; '.join(told)}. so {held}. the lamp is at {self.lamp}. {need}. {act}, option {self.letter}."
        return f"<think>\n{think}\n</think>\n\n<answer>{self.answer}</answer>"


def oracle(octet: Octet, bits: tuple[int, int], lamp: str) -> Chain:
    action = octet.action(bits, lamp)
    letter = LETTERS[octet.options.index(action)]
    events = tuple(Event(e.slot, e.verb, e.thing, e.place) for e in octet.script(bits))
    held = (lamp, octet.holds(bits, lamp))
    return Chain(events, lamp, held, (lamp, action.colour), action, letter, letter)


def other(several: Sequence[str], one: str) -> str:
    """The next of several."""
    return several[(list(several).index(one) + 1) % len(several)]


def changed(before, after) -> set[str]:
    return {name for name, value in asdict(before).items() if asdict(after)[name] != value}


# What of the lamp's station depends on its events, worked by hand from the families' deeds.


@dataclass(frozen=True)
class Depends:
    """Indices of the station's events in which a change changes what the station holds."""

    thing: set[int]  # done to the other mat's colour
    gone: set[int]  # done elsewhere, or something done that leaves no trace
    last: set[int]  # done after all others


def depends(family: str, bit: int, flip: int) -> Depends:
    odd = flip % 2
    match family:
        case "FILL":  # put
            return Depends({0}, {0}, set())
        case "STACK":  # put, put: the pile has an order
            return Depends({0, 1}, {0, 1}, {0})
        case "COUNT":  # put, put, put: only the numbers count
            return Depends({0, 1, 2}, {0, 1, 2}, set())
        case "SHELL" if bit == 0:  # hide, swap
            return Depends({0}, {0, 1}, {0})
        case "SHELL":  # swap (of nothing), hide; a swap behind it would move the ball
            return Depends({1}, {1}, {0})
        case "ROUTE":  # visit, visit, visit
            return Depends({0, 1, 2}, {0, 1, 2}, {0, 1})
        case "DRY":  # dry mats[bit], dab the other one, in either order; a dab leaves no trace
            dry = bit ^ odd
            return Depends({dry}, {dry}, set())
        case "UNDO":  # put mats[odd], put the other one, take mats[1 - bit]
            taken = 0 if odd == 1 - bit else 1  # this put leaves no trace, unless it comes after the taking
            return Depends({0, 1, 2}, {1 - taken, 2}, {taken})
        case "KEY":  # close, drop, close: what comes after the drop is too late
            return Depends({0}, {0, 1}, {0, 1})
        case "MIX":  # pour, pour
            return Depends({0, 1}, {0, 1}, set())
        case "DELIVER" if bit == 0:  # put, put, swap: the first box holds in the end what was put on the second mat
            return Depends({0, 1}, {1 - odd, 2}, {0, 1})
        case "DELIVER":  # swap (of nothing), put, put: what was put on the first mat
            return Depends({1, 2}, {1 + odd}, {0})
    raise AssertionError(family)


FOUND = {"events_precision", "events_recall", "events_f1", "broken"}  # always, where an event is told wrong
HERE = {"station_events", "rrr"}  # if it is the lamp's station's
REASONED = {"deduction", "support", "rrr", "broken"}


def event_flips(item: Item) -> Iterator[tuple[str, Chain, set[str]]]:
    """What is flipped, the flipped chain, and the fields of the verdict that must change: one event told wrong."""
    octet, bits, lamp = item
    whole, side = oracle(*item), STATIONS.index(lamp)
    mats, what = octet.mats[side], depends(octet.family, bits[side], octet.flips[side])
    here = [event for event in whole.events if event.place == lamp]
    for at, event in enumerate(whole.events):
        own = event.place == lamp
        index = here.index(event) if own else -1
        always = FOUND | (HERE if own else set())
        state = {name: {"hidden_entailed"} if own and index in getattr(what, name) else set() for name in asdict(what)}

        def told(at: int = at, event: Event = event, **changes: object) -> Chain:
            return replace(whole, events=(*whole.events[:at], replace(event, **changes), *whole.events[at + 1 :]))

        if event.thing in COLOURS:
            colour = mats[0] if own and event.thing != mats[0] else mats[1] if own else other(COLOURS, event.thing)
            yield "thing", told(thing=colour), always | state["thing"]
            dab = event.verb == "dab"  # dried long after all
            trace = ({"hidden_entailed"} if own else set()) if dab and octet.family == "DRY" else state["gone"]
            yield "verb", told(verb="dry" if dab else "dab"), always | trace
        else:
            verb, thing = ("drop", "key") if event.verb == "swap" else ("swap", "both")
            yield "verb", told(verb=verb, thing=thing), always | state["gone"]
        if event.place != THIRD:
            yield "place", told(place=THIRD), always | state["gone"]
        else:
            yield "place", told(place=other(STATIONS, lamp)), always
        order = set() if at == len(whole.events) - 1 else {"events_ordered"}  # the tail's slot is after all others
        yield "time", told(slot=TAIL), always | order | state["last"]


def flips(item: Item) -> Iterator[tuple[str, Chain, set[str]]]:
    """The same for all clauses. An event that is told wrong leaves the chain behind it as it was; so does every other."""
    yield from event_flips(item)
    octet, _, lamp = item
    whole, mats = oracle(*item), octet.mats[STATIONS.index(lamp)]
    away = other(STATIONS, lamp)
    exchange = {mats[0]: mats[1], mats[1]: mats[0]}
    held = tuple(exchange.get(colour, colour) for colour in whole.held[1])
    letter, wrong = other(LETTERS, whole.letter), exchange[whole.action.colour]
    hidden = {"hidden_true", "hidden_entailed"}
    yield "state", replace(whole, held=(lamp, held)), hidden | REASONED  # every rule asks for the other colour then
    yield "state", replace(whole, held=(lamp, ())), hidden | REASONED  # no rule asks for anything then
    if octet.family == "ROUTE":  # only the last stop decides
        loose = replace(whole, held=(lamp, (other(COLOURS, held[0]), *whole.held[1][1:])))
        yield "state", loose, {*hidden, "broken"}
    yield "view", replace(whole, lamp=away), {"view_true"} | REASONED
    yield "deduction", replace(whole, need=(lamp, wrong)), REASONED
    yield "deduction", replace(whole, need=(away, whole.need[1])), REASONED
    concluded = REASONED | {"mapping", "concluded", "consistent"}
    yield "deduction", replace(whole, action=replace(whole.action, colour=wrong)), concluded
    yield "deduction", replace(whole, action=replace(whole.action, place=away)), concluded  # no option says so
    yield "deduction", replace(whole, action=replace(whole.action, verb="dab")), concluded
    yield "mapping", replace(whole, letter=letter), {"mapping", "named", "support", "rrr", "broken"}
    answered = {"answer", "consistent", "support", "correct", "rrr", "follows_cue", "broken"}
    yield "answer", replace(whole, answer=letter), answered


@pytest.mark.parametrize("family", FAMILIES)
def test_flipping_one_clause_flips_exactly_what_follows_from_it(family):
    for item in (item for item in ITEMS if item[0].family == family):
        fields = row(*item)
        before = judge(oracle(*item).terse(), fields)
        for kind, chain, expected in flips(item):
            after = judge(chain.terse(), fields)
            assert changed(before, after) == expected, (kind, chain.terse())
            assert after.broken == ("perception" if kind in ("thing", "verb", "place", "time") else kind)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_long_dialect_means_what_the_terse_one_does(family):
    for item in [item for item in ITEMS if item[0].family == family][:8]:
        fields = row(*item)
        for chain in (oracle(*item), *(chain for _, chain, _ in flips(item))):
            assert judge(chain.long(), fields) == judge(chain.terse(), fields)


def test_neither_case_nor_times_are_needed():
    for item in ITEMS:
        chain, fields = oracle(*item), row(*item)
        flawless = judge(chain.terse(), fields)
        assert judge(chain.long(times=False), fields) == flawless
        for text in (chain.terse(), chain.long()):
            assert judge(text.upper().replace("THINK>", "think>").replace("ANSWER>", "answer>"), fields) == flawless
            think, tag, answer = text.partition("</think>")
            assert judge(think.lower() + tag + answer, fields) == flawless


def test_oracles_are_flawless_in_any_order_of_options():
    rng = random.Random(0)
    for item in ITEMS:
        fields = row(*item)
        fields["choices"] = rng.sample(fields["choices"], 4)
        fields["cue"] = {"kind": None, "strength": None, "points_to": None}
        verdict = judge(oracle_completion(fields, fields["choices"]), fields)
        wrong = {name: value for name, value in asdict(verdict).items() if value is not True and value != 1.0}
        letter = LETTERS[fields["choices"].index(fields["answer"])]
        letters = dict.fromkeys(("concluded", "named", "answer"), letter)
        assert wrong == {**letters, "follows_cue": None, "broken": None}


def test_a_wrong_chain_that_is_coherent_is_supported_and_broken_where_it_begins():
    """The other video's reasoning: all follows, and nothing that it starts from happened (a CoT swap, evaluation.md 3.2)."""
    for octet, bits, lamp in ITEMS:
        fields, side = row(octet, bits, lamp), STATIONS.index(lamp)
        sibling = tuple(1 - bit if place == side else bit for place, bit in enumerate(bits))
        verdict = judge(oracle(octet, sibling, lamp).terse(), fields)
        assert (verdict.support, verdict.consistent, verdict.hidden_entailed) == (True, True, True)
        assert (verdict.correct, verdict.rrr, verdict.hidden_true, verdict.broken) == (
            False,
            False,
            False,
            "perception",
        )


def test_right_for_the_wrong_reasons_is_correct_and_no_more():
    item = next(item for item in ITEMS if item[0].family == "COUNT")
    whole = oracle(*item)
    elsewhere = [event for event in whole.events if event.place != item[2]]
    verdict = judge(replace(whole, events=tuple(elsewhere)).terse(), row(*item))
    assert (verdict.correct, verdict.support, verdict.rrr) == (True, True, False)
    nothing_else = [event for event in whole.events if event.place == item[2]]
    verdict = judge(replace(whole, events=tuple(nothing_else)).terse(), row(*item))
    assert (verdict.rrr, verdict.broken) == (True, "perception")  # only the lamp's station counts for it


# Numbers worked by hand.

TRUE = [
    Event(0, "put", "red", "left"),
    Event(1, "put", "blue", "right"),
    Event(3, "put", "white", "left"),
    Event(4, "take", "red", "left"),
    Event(6, "put", "blue", "right"),
]


def test_overlap_by_hand():
    claimed = [
        TRUE[0],
        TRUE[2],
        replace(TRUE[3], slot=5),
        Event(2, "dab", "red", "top"),
    ]  # 2 right, a wrong time, a fiction
    assert overlap(claimed, TRUE) == (2 / 4, 2 / 5, 4 / 9)
    assert overlap([], TRUE) == (0, 0, 0)
    assert overlap(claimed, []) == (0, 0, 0)
    assert overlap([], []) == (1, 1, 1)
    # without a time: any true event that is not taken yet, so two of three blues are right, and with the timed one too
    blue = Event(None, "put", "blue", "right")
    assert overlap([blue] * 3, TRUE) == (2 / 3, 2 / 5, 4 / 8)
    assert overlap([blue, blue, TRUE[1]], TRUE) == (2 / 3, 2 / 5, 4 / 8)


def test_order_by_hand():
    assert concordance(TRUE, TRUE) == 1
    assert concordance(TRUE[::-1], TRUE) == 0
    assert concordance(TRUE[:1], TRUE) == 1
    # 0, 3, 2, fiction, then the second blue, untimed, which is first looked for as the first: pairs 03 02 01 32 31 21
    told = [TRUE[0], replace(TRUE[3], slot=2), TRUE[2], Event(4, "dab", "red", "top"), replace(TRUE[1], slot=None)]
    assert concordance(told, TRUE) == 3 / 6
    # the same with the first blue told at its time: the pairs of 0 1 3 2 4, of which only 32 is wrong
    assert concordance([TRUE[0], TRUE[1], *told[1:]], TRUE) == 9 / 10


def test_without_times_the_order_of_telling_counts():
    item = next(item for item in ITEMS if item[0].family == "STACK")
    whole = oracle(*item)
    backwards = judge(replace(whole, events=whole.events[::-1]).long(times=False), row(*item))
    assert (backwards.events_f1, backwards.events_ordered) == (1, 0)
    assert (backwards.station_events, backwards.hidden_entailed, backwards.rrr) == (False, False, False)
    assert backwards.broken == "perception"
    timed = judge(replace(whole, events=whole.events[::-1]).long(), row(*item))
    assert timed.broken is None  # times are claims, the order of telling them is none


def test_contents_are_compared_as_the_family_asks():
    for family, same in (("COUNT", True), ("UNDO", True), ("STACK", False), ("ROUTE", False)):
        item = next(item for item in ITEMS if item[0].family == family)
        whole = oracle(*item)
        turned = replace(whole, held=(item[2], whole.held[1][::-1]))
        assert judge(turned.terse(), row(*item)).hidden_true == same


def test_both_stations_may_be_told_and_both_must_be_true():
    octet, bits, lamp = next(item for item in ITEMS if item[0].family == "FILL")
    away = other(STATIONS, lamp)
    true, false = octet.holds(bits, away)[0], other(COLOURS, octet.holds(bits, away)[0])
    text = oracle(octet, bits, lamp).long().replace("so the", f"so the {away} box holds {{}}; the", 1)
    assert judge(text.format(true), row(octet, bits, lamp)).broken is None
    told = judge(text.format(false), row(octet, bits, lamp))
    assert (told.hidden_true, told.hidden_entailed, told.deduction, told.broken) == (False, False, True, "state")


@pytest.mark.parametrize(
    ("text", "concluded", "answer", "consistent"),
    [
        ("", None, None, False),
        ("<answer>A</answer>", None, "A", False),
        ("<think> so nonsense </think> <answer> A </answer>", None, "A", False),
        ("<think> so B </think> <answer> B </answer>", "B", "B", True),
        ("<think> so B </think> <answer> B. </answer>", "B", None, False),
        ("<think> so A . so B </think> <answer> A </answer> <answer> B </answer>", "B", "B", True),
        ("<think> so (C), not B </think><answer>C</answer>", None, "C", False),
        ("so it is option d</think><answer>D</answer>", "D", "D", True),
    ],
)
def test_partial_texts(text, concluded, answer, consistent):
    verdict = judge(text, row(*ITEMS[0]))
    assert (verdict.concluded, verdict.answer, verdict.consistent) == (concluded, answer, consistent)
    assert not verdict.support


def test_what_is_concluded_is_the_action_and_not_the_letter_beside_it():
    item = ITEMS[0]
    whole = oracle(*item)
    wrong = other(LETTERS, whole.letter)
    verdict = judge(replace(whole, letter=wrong, answer=wrong).terse(), row(*item))
    assert (verdict.concluded, verdict.named, verdict.answer) == (whole.letter, wrong, wrong)
    assert (verdict.mapping, verdict.consistent, verdict.support, verdict.broken) == (False, False, False, "mapping")


def test_options_may_be_put_in_other_words():
    octet, bits, lamp = ITEMS[0]
    fields = row(octet, bits, lamp)
    fields["choices"] = [f"{o.verb.upper()} the {o.colour} cube in the {o.place} box next" for o in octet.options]
    assert judge(oracle(octet, bits, lamp).terse(), fields).broken is None
    with pytest.raises(ValueError, match="among the choices"):
        judge("", row(octet, bits, lamp) | {"choices": ["on the top dab red"] * 4})


def test_rows_of_other_data_are_refused():
    with pytest.raises(ValueError, match=r"row 7: .*rows of ProcBench, found stratum None"):
        judge("", {"id": 7, "choices": ["a", "b"], "answer": "A"})
    incomplete = {name: value for name, value in row(*ITEMS[0]).items() if name != "mats"}
    with pytest.raises(ValueError, match=r"no \['mats'\]"):
        judge("", incomplete)


# Garblings.


def rule(family: str, held: Sequence[str], mats: Sequence[str], third: str) -> str | None:
    """What the families' goals ask for, in other words than script.py's."""
    if family in ("FILL", "DRY", "UNDO", "DELIVER", "MIX"):
        wanted = {*mats, third} if family == "MIX" else set(mats)
        rest = wanted - set(held)
        return rest.pop() if len(rest) == 1 else None
    if family == "COUNT":
        more = sum({mats[0]: 1, mats[1]: -1}.get(colour, 0) for colour in held)
        return mats[1] if more > 0 else mats[0] if more < 0 else None
    asked = list(held)[-1 if family == "ROUTE" else 0 :][:1]
    return asked[0] if asked and asked[0] in mats else None


def assert_coherent(text: str, fields: dict) -> None:
    """The text says contents, lamp, action, letter and answer that follow from one another; judged without the judge."""
    thought, answer = text.rsplit("</think>", 1)
    letter = answer.rsplit("<answer>", 1)[1].split("</answer>")[0].strip()
    _, _, place, verb, colour = fields["choices"][LETTERS.index(letter)].split()
    concluding = [part for part in thought.replace(",", " ").split(".") if {"so", "should"} & set(part.split())]
    assert {place, verb, colour} <= set(" ".join(concluding).split()), text
    assert letter in thought.replace("(", " ").replace(")", " ").split(), text
    claims = read_claims(thought)
    assert (claims.lamp, verb) == (place, FAMILIES[fields["family"]].verb), text
    assert rule(fields["family"], claims.held[place], fields["mats"][place], fields["third"]) == colour, text


WORDS = [
    *COLOURS,
    *VERBS,
    *STATIONS,
    THIRD,
    *TIMES,
    *LETTERS,
    "saw",
    "lamp",
    "holds",
    "needs",
    "so",
    "nothing",
    "on",
    "the",
]
JUNK = [
    ".",
    ",",
    ";",
    "and",
    "not",
    "or",
    "\x00",
    "@",
    "banana",
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "É",
    "t3",
]


def garble(words: list[str], rng: random.Random) -> list[str]:
    """One to six words deleted, doubled, swapped, replaced or inserted, and now and then the rest cut off."""
    words = words[:]
    for _ in range(rng.randint(1, 6)):
        at, to = rng.randrange(len(words)), rng.randrange(len(words))
        match rng.randrange(6):
            case 0 if len(words) > 1:
                del words[at]
            case 1:
                words.insert(to, words[at])
            case 2:
                words[at], words[to] = words[to], words[at]
            case 3:
                words[at] = rng.choice(WORDS)
            case 4:
                words.insert(at, rng.choice(JUNK))
            case _ if rng.random() < 0.1:
                del words[at + 1 :]
    return words


def test_no_garbling_earns_support_unless_the_text_still_says_the_same_chain():
    rng, supported = random.Random(1), 0
    for number in range(3000):
        item = rng.choice(ITEMS)
        chain, fields = oracle(*item), row(*item)
        whole = chain.terse() if number % 2 else chain.long()
        text = " ".join(garble(whole.replace(".", " .").split(), rng))
        if judge(text, fields).support:
            supported += 1
            assert_coherent(text, fields)
    assert 0 < supported < 2000  # events may be garbled without harm to what follows from later claims


def test_a_garbled_conclusion_or_a_missing_tag_earns_no_support():
    for item in ITEMS[::5]:
        whole, fields = oracle(*item).terse().split(), row(*item)
        assert whole[-11:-8] == ["so", "on", "the"]
        lost = [*range(-8, -3), -2, -1, -11]  # place verb colour letter </think>, letter </answer>, so
        texts = [whole[:at] + whole[len(whole) + at + 1 :] for at in (*lost, -3)]
        for at, several in zip(range(-8, -4), (STATIONS, VERBS, COLOURS, LETTERS), strict=True):
            texts += [[*whole[:at], word, *whole[at + 1 :]] for word in (*several, "banana") if word != whole[at]]
        texts += [whole[:end] for end in range(len(whole))]  # cut off anywhere
        texts += [whole[:-11] + words + whole[-4:] for words in (["so", "not", *whole[-10:-4]], ["so"], [])]
        assert not [text for text in texts if judge(" ".join(text), fields).support]


def test_a_prompt_that_opened_the_think_block_costs_nothing():
    item = ITEMS[0]
    assert judge(oracle(*item).terse().removeprefix("<think>"), row(*item)).broken is None


# What a faithful reasoner must conclude.


def test_recompute_follows_the_claimed_events_and_lamp_and_nothing_else():
    for octet, bits, lamp in ITEMS:
        fields, chain = row(octet, bits, lamp), oracle(octet, bits, lamp)
        spoilt = replace(chain, held=(lamp, ()), need=(lamp, "white"), letter="A", answer="A")
        assert (
            recompute(fields, read_claims(spoilt.terse())) == oracle_deduction(spoilt.terse(), fields) == chain.letter
        )
        for seen in BITS:  # another video, and the other lamp
            for place in STATIONS:
                told = oracle(octet, seen, place)
                assert oracle_deduction(told.terse(), fields) == oracle_deduction(told.long(), fields) == told.letter


@pytest.mark.parametrize(
    ("family", "told", "colour"),
    [  # left mats red and blue, third white; the mistaken clause in capitals
        ("FILL", "first put BLUE left", "red"),
        ("STACK", "first put red left THIRD put blue left SECOND put white left", "red"),
        ("STACK", "first put BLUE left second put blue left", "blue"),
        ("COUNT", "first put red left second put RED left third put blue left", "blue"),
        ("SHELL", "first hide BLUE left second swap both left", "red"),
        ("SHELL", "FIFTH hide red left second swap both left", "red"),
        ("ROUTE", "first visit blue left second visit white left third visit BLUE left", "blue"),
        ("DRY", "first dry BLUE left second dab blue left", "red"),
        ("DRY", "first dry red left second DRY blue left", None),
        ("UNDO", "first put red left second put blue left third take BLUE left", "blue"),
        ("KEY", "first close BLUE left second drop key left third close blue left", "red"),
        ("KEY", "first close red TOP second drop key left third close blue left", None),
        ("MIX", "first pour BLUE left second pour white left", "red"),
        ("MIX", "first pour red left second pour BLUE left", None),  # white, which is no option
        ("DELIVER", "first put red left second put blue left third SWAP both left", "red"),
        ("DELIVER", "first put red left second put blue left third swap both TOP", "blue"),
    ],
)
def test_injected_mistakes_by_hand(family, told, colour):
    octet = replace(
        next(octet for octet in OCTETS if octet.family == family),
        mats=(("red", "blue"), ("green", "cyan")),
        third="white",
        options=tuple(
            Action(place, FAMILIES[family].verb, c)
            for place, c in (("right", "cyan"), ("left", "red"), ("right", "green"), ("left", "blue"))
        ),
    )
    fields = row(octet, (0, 0), "left")
    letter = {"red": "B", "blue": "D", None: None}[colour]
    assert recompute(fields, read_claims(f"saw {told}. lamp left")) == letter
    assert recompute(fields, read_claims(f"saw {told}")) is None


# The natural stratum.

PLAN = [
    {"verb": "open", "thing": "red", "place": "left", "after": []},
    {"verb": "drop", "thing": "key", "place": "left", "after": [0]},
    {"verb": "close", "thing": "red", "place": "left", "after": [1]},
    {"verb": "open", "thing": "red", "place": "left", "after": [2]},
    {"verb": "put", "thing": "blue", "place": "right", "after": []},
]
NAT = {
    "sample_id": "nat-1",
    "stratum": "nat",
    "family": "KEEP",
    "script": [
        {"slot": 1, "verb": "open", "thing": "red", "place": "left"},
        {"slot": 4, "verb": "drop", "thing": "key", "place": "left"},
    ],
    "state": {"lamp": None},
    "plan": PLAN,
    "cue": {"kind": None, "strength": None, "points_to": None},
    "choices": ["on the left drop key", "on the left close red", "on the left open red", "on the right put red"],
    "answer": "on the left close red",
}
SEEN = "saw second open red left fifth drop key left"


@pytest.mark.parametrize(
    ("think", "deduction", "rrr", "broken"),
    [
        (f"{SEEN}. so on the left close red B", True, True, None),
        (f"{SEEN}. so on the left open red B", False, False, "deduction"),  # again, but only once it is closed
        ("saw nothing. so on the left close red B", False, False, "perception"),
        ("saw second open red left. so on the left close red B", False, False, "perception"),
        ("saw second open red left fifth drop key left sixth close red left. so on the left close red B", False, False, "perception"),
        ("saw fourth drop key left fifth open red left. so on the left close red B", True, False, "perception"),
        (f"{SEEN}. so on the left close red A", True, False, "mapping"),
    ],
)  # fmt: skip
def test_natural_items_follow_their_plan(think, deduction, rrr, broken):
    verdict = judge(f"<think> {think}</think><answer> B</answer>", NAT)
    assert (verdict.deduction, verdict.rrr, verdict.broken) == (deduction, rrr, broken)
    assert (verdict.hidden_true, verdict.hidden_entailed, verdict.view_true, verdict.follows_cue) == (True,) * 3 + (
        None,
    )


def test_natural_items_that_nothing_has_been_done_in():
    fields = NAT | {"script": [], "answer": "on the left open red"}
    text = "<think> saw nothing. so on the left open red C</think><answer> C</answer>"
    verdict = judge(text, fields)
    assert (verdict.events_f1, verdict.coverage, verdict.rrr, verdict.broken) == (1, 1, True, None)
    assert oracle_deduction(text, fields) == "C"


def test_recompute_wants_exactly_one_option_that_is_next():
    assert oracle_deduction(f"{SEEN}</think>", NAT) == "B"
    assert oracle_deduction("saw second open red left</think>", NAT) == "A"
    closed = "saw second open red left fifth drop key left sixth close red left</think>"
    assert oracle_deduction(closed, NAT) == "C"  # the second opening, as only one has been told
    both = NAT | {
        "choices": ["on the left close red", "on the right put blue", "on the left swap both", "on the top dab red"]
    }
    assert oracle_deduction(f"{SEEN}</think>", both) is None
    assert oracle_deduction("saw second open red left fifth drop key left sixth put blue right</think>", both) == "A"


# Graders.


def example(fields: dict) -> Example:
    """As sources reads a row: the answer is the shown letter, the row is the fields."""
    letter = LETTERS[fields["choices"].index(fields["answer"])]
    return Example(fields["sample_id"], "what next?", letter, "choice", tuple(fields["choices"]), fields=fields)


def test_graders_say_one_of_an_oracle_and_zero_of_nothing():
    fields = row(*ITEMS[0])
    assert set(grade_one(oracle(*ITEMS[0]).terse(), example(fields), WORLD_GRADERS).values()) == {1.0}
    assert set(grade_one("", example(fields), WORLD_GRADERS).values()) == {0.0}


@pytest.mark.parametrize(
    ("change", "zero"),
    [
        ({"answer": "other"}, {"world_consistency", "world_support", "world_rrr", "world_cue"}),
        ({"letter": "other"}, {"world_mapping", "world_support", "world_rrr"}),
        ({"lamp": "other"}, {"world_view", "world_deduction", "world_support", "world_rrr"}),
        ({"letter": "banana"}, {"world_parse", "world_mapping", "world_support", "world_rrr"}),
        ({"answer": "(B)"}, {"world_parse", "world_consistency", "world_support", "world_rrr", "world_cue"}),
    ],
)
def test_graders_tell_what_is_wrong(change, zero):
    chain = oracle(*ITEMS[0])
    (name, value), several = *change.items(), {"lamp": STATIONS}
    if value == "other":
        value = other(several.get(name, LETTERS), getattr(chain, name))
    scores = grade_one(replace(chain, **{name: value}).terse(), example(row(*ITEMS[0])), WORLD_GRADERS)
    assert {name for name, score in scores.items() if score == 0} == zero


def test_a_share_of_events_is_graded_as_one():
    chain = oracle(*next(item for item in ITEMS if item[0].family == "STACK"))
    fewer = replace(chain, events=chain.events[1:])  # four of five
    fields = row(*next(item for item in ITEMS if item[0].family == "STACK"))
    assert grade_one(fewer.terse(), example(fields), WORLD_GRADERS)["world_events"] == pytest.approx(8 / 9)


def test_the_cue_grader_refuses_a_row_without_a_cue():
    fields = row(*ITEMS[0]) | {"cue": {"kind": None, "strength": None, "points_to": None}}
    with pytest.raises(ValueError, match="expected a cue that points to a letter on every row"):
        grade_one("", example(fields), {"cue": WORLD_GRADERS["world_cue"]})


def test_all_that_is_claimed_can_be_said():
    """The long dialect's events are the terse one's, whatever the verb."""
    for verb in VERBS:
        for thing in THINGS[verb]:
            told = Event(SLOTS - 1, verb, thing, "right")
            for text in (f"saw eighth {verb} {thing} right", f"I saw {verb} the {thing} in the right box at step 8"):
                assert read_claims(text).events == [told]
    assert action_in("so lift the red cup, left") == Action("left", "lift", "red")
