"""The tolerant reader: what it understands, what it leaves alone, and that it takes linear time."""

import sys
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrl.world.claims import action_in, read_claims
from mmrl.world.judge import judge
from mmrl.world.lexicon import LEXICON
from mmrl.world.octet import Action
from mmrl.world.script import Event
from tests.world.test_judge import ITEMS, oracle, row

LONG = (
    "I saw put the red cube in the left box; take the blue cube from the top box. so the left box holds red; the right "
    "box holds blue. the lamp is at left. left still needs a red cube. so I should put the red cube in the left box, option C"
)


def test_the_design_s_own_words_are_understood():
    claims = read_claims(LONG)
    assert claims.events == [Event(None, "put", "red", "left"), Event(None, "take", "blue", "top")]
    assert claims.held == {"left": ("red",), "right": ("blue",)}
    assert (claims.lamp, claims.needs) == ("left", {"left": "red"})
    assert (claims.action, claims.letter) == (Action("left", "put", "red"), "C")
    assert claims.words == claims.understood == 53


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("saw third put red left", [(2, "put", "red", "left")]),
        ("SAW STEP 3 PUT RED LEFT", [(2, "put", "red", "left")]),
        ("saw t2 put red left", [(2, "put", "red", "left")]),
        ("third, put the red cube in the left box", [(2, "put", "red", "left")]),
        ("I saw put the red cube in the left box (step 3)", [(2, "put", "red", "left")]),
        (
            "saw put red left at step 3, take red left at step 4",
            [(2, "put", "red", "left"), (3, "take", "red", "left")],
        ),
        ("saw first put red left third take red left", [(0, "put", "red", "left"), (2, "take", "red", "left")]),
        ("saw put red left third take red left", [(None, "put", "red", "left"), (2, "take", "red", "left")]),
        (
            "saw put red left and swap the two cups, left",
            [(None, "put", "red", "left"), (None, "swap", "both", "left")],
        ),
        ("saw put red left; third, take red left", [(None, "put", "red", "left"), (2, "take", "red", "left")]),
        ("saw first put red left third", [(0, "put", "red", "left")]),  # cut off
        ("saw first put red left first put red left", [(0, "put", "red", "left")]),  # told twice
        ("saw put red left put red left", [(None, "put", "red", "left")] * 2),  # done twice
        ("saw put red put blue left", [(None, "put", "blue", "left")]),
        ("saw put red blue left", []),
        ("saw drop red left", []),
        ("saw fetch red left", []),  # what is asked for but never happens
        ("saw step 9 put red left", [(None, "put", "red", "left")]),
        ("saw put red in the left or right box", []),
        ("put red left", []),  # neither seen nor timed: an option read aloud
        ("saw nothing", []),
    ],
)
def test_events(text, events):
    assert read_claims(text).events == [Event(*event) for event in events]


def test_what_is_told_without_a_time_comes_right_behind_what_is_told_before_it():
    claims = read_claims("saw third put red left; put blue left; first put white left; fourth put green left")
    assert [told.thing for told in claims.ordered] == ["white", "red", "blue", "green"]
    assert [(event.slot, event.thing) for event in claims.happened][1:3] == [(1, "red"), (2, "blue")]


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("left holds red blue", {"left": ("red", "blue")}),
        ("holds left red blue", {"left": ("red", "blue")}),
        ("holds left nothing", {"left": ()}),
        ("holds red left", {}),
        ("holds nothing left", {}),
        ("right holds left red", {}),
        ("So the left box holds red, blue and red", {"left": ("red", "blue", "red")}),
        ("the left box holds nothing", {"left": ()}),
        ("left holds red and right holds blue", {"left": ("red",), "right": ("blue",)}),
        ("left holds red. no wait. left holds blue", {"left": ("blue",)}),
        ("left does not hold red", {}),
        ("if left holds red", {}),
        ("left doesn't hold red", {}),
        ("left right holds red", {}),
        ("left holds", {}),
        ("left holds red nothing", {}),
        ("left holds put red", {}),
        ("red holds left", {}),
        ("top holds red", {}),
        ("lamp left holds red", {}),
    ],
)
def test_contents(text, held):
    assert read_claims(text).held == held


@pytest.mark.parametrize(
    ("text", "action", "letter"),
    [
        ("so on the left put blue C", "left put blue", "C"),
        ("So on the LEFT put BLUE (c)", "left put blue", "C"),
        ("therefore I should put a blue cube in the left box, option a", "left put blue", "A"),
        ("so I should put A blue cube in the left box", "left put blue", None),
        ("so A", None, "A"),
        ("so a sensible answer is B", None, "B"),
        ("so A on the left put blue", "left put blue", "A"),
        ("so put a blue cube left A", "left put blue", "A"),
        ("so, on the left, put blue. That is option D.", "left put blue", "D"),
        ("so on the left put blue C. so on the right put red", "right put red", None),
        ("so on the left put blue C. so on the right put", "left put blue", "C"),
        ("left needs blue so on the left put blue C", "left put blue", "C"),
        ("so on the left put blue A B", "left put blue", None),
        ("so put blue or red left C", None, None),
        ("so I should not put blue left", None, None),
        ("so on the left put C", None, "C"),
        ("so the left box holds red C", None, None),
        ("on the left put blue C", None, None),
        ("so lift red left", "left lift red", None),
        ("the answer is: put blue left", "left put blue", None),
        ("<answer> put blue left", None, None),  # a tag is no word
    ],
)
def test_conclusions(text, action, letter):
    claims = read_claims(text)
    found = None if claims.action is None else f"{claims.action.place} {claims.action.verb} {claims.action.colour}"
    assert (found, claims.letter) == (action, letter)


@pytest.mark.parametrize(
    ("text", "lamp", "needs"),
    [
        ("lamp left", "left", {}),
        ("I see that the lamp is at the right station, so right still needs a red cube", "right", {"right": "red"}),
        ("left lamp", "left", {}),
        ("the lamp is at left. the lamp is at right", "right", {}),
        ("the lamp is not at left", None, {}),
        ("lamp left right", None, {}),
        ("lamp left option C", None, {}),
        ("lamp top", None, {}),
        ("left needs red; right needs blue", None, {"left": "red", "right": "blue"}),
        ("left starts with a red cube", None, {"left": "red"}),
        ("needs left red", None, {"left": "red"}),
        ("needs red left", None, {}),
        ("left needs red blue", None, {}),
        ("needs red", None, {}),
    ],
)
def test_lamp_and_needs(text, lamp, needs):
    claims = read_claims(text)
    assert (claims.lamp, claims.needs) == (lamp, needs)


@pytest.mark.parametrize(
    ("text", "understood", "words"),
    [
        ("", 0, 0),
        ("... , ;", 0, 0),
        ("lamp left", 2, 2),
        ("well let me think. lamp left", 2, 6),  # an unknown sentence
        ("lamp surely left", 2, 3),  # an unknown word in a clause
        ("saw first put red left banana put blue", 5, 8),  # saw, first, and an event
        ("so put blue left C", 5, 5),
        ("so put blue C", 1, 4),  # only a letter
    ],
)
def test_coverage_counts_words(text, understood, words):
    claims = read_claims(text)
    assert (claims.understood, claims.words) == (understood, words)


def test_sentences_may_stand_in_any_order():
    sentences = LONG.split(". ")
    assert read_claims(". ".join(sentences[::-1])) == read_claims(LONG)


def test_options_are_read_by_content():
    same = ("on the left put blue", "Put the blue cube in the left box!", "put blue left next")
    assert {action_in(text) for text in same} == {Action("left", "put", "blue")}
    assert action_in("on the left swap both") == Action("left", "swap", "both")
    assert action_in("open the drawer") is None


@given(
    st.lists(
        st.sampled_from([*LEXICON, "A", "b", "step", "3", "banana", "don't", "İ", "ß", "\x00", "(", "'"]), max_size=60
    )
)
def test_any_words_are_read_and_no_more_is_understood_than_said(words):
    text = " ".join(words)
    claims = read_claims(text)
    assert 0 <= claims.understood <= claims.words
    assert read_claims(text) == claims
    for item in (ITEMS[0], ITEMS[-1]):
        verdict = judge(f"<think>{text}</think><answer>A</answer>", row(*item))
        assert 0 <= verdict.events_ordered <= 1 >= verdict.events_f1 >= 0


@given(st.text())
def test_any_text_is_judged(text):
    for item in (ITEMS[0], ITEMS[-1]):
        assert not judge(text, row(*item)).support


def operations(text: str) -> int:
    """How many bytecodes the judge runs on a text."""
    count = 0

    def trace(frame: FrameType, event: str, _: object):
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        judge(f"<think>{text}</think><answer>A</answer>", row(*ITEMS[0]))
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "part",
    [
        oracle(*ITEMS[0]).terse().removeprefix("<think>").split("</think>")[0] + ". ",
        LONG + ". ",
        "saw first put red left t0 put ",
        "first put red left ",
        "put red left, ",
        "so ",
        "so, and so ",
        "a ",
        "and, ",
        "the ",
        "left holds red ",
        "left holds red; ",
        "saw saw put ",
        "saw put red left third ",
        "third ",
        ". ",
        "</think> ",
        "<answer>A</answer>",
        "banana' ",
        "step 3 ",
    ],
)
def test_ten_times_the_text_takes_at_most_about_ten_times_the_work(part):
    short = operations(part * 20)
    assert operations(part * 200) <= 12 * short
