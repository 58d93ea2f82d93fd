"""Laws of the extraction: many forms read, many distractors left, relabelling, spans, modes, and time linear in the text."""

import itertools
import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrl.rewards.answer_extraction import extract
from mmrl.rewards.consistency import consistency_rule
from mmrl.rewards.parse import parse
from tests.rewards import forms, test_answer_extraction
from tests.rewards.forms import CHOICES

IN_TAGS = [*test_answer_extraction.IN_TAGS, *forms.MORE_IN_TAGS]
WITHOUT_TAGS = [*test_answer_extraction.WITHOUT_TAGS, *forms.MORE_WITHOUT_TAGS]
NO_LETTER_IN_TAGS = [*test_answer_extraction.NO_LETTER_IN_TAGS, *forms.MORE_DISTRACTORS_IN_TAGS]
NO_LETTER_WITHOUT_TAGS = [*test_answer_extraction.NO_LETTER_WITHOUT_TAGS, *forms.MORE_DISTRACTORS_WITHOUT_TAGS]
FORMS = [f"<think>A, C or D?</think><answer>{content}</answer>" for content, _ in IN_TAGS] + [
    t for t, _ in WITHOUT_TAGS
]
DISTRACTORS = [f"<think>So B.</think><answer>{text}</answer>" for text in NO_LETTER_IN_TAGS] + NO_LETTER_WITHOUT_TAGS


@pytest.mark.parametrize(("content", "rule"), forms.MORE_IN_TAGS)
def test_a_form_in_tags_is_read(content, rule):
    found = extract(f"<think>Is it A, C or D?</think>\n<answer>{content}</answer>", "choice", CHOICES)
    assert (found.answer, found.rule) == ("B", rule)


@pytest.mark.parametrize(("text", "rule"), forms.MORE_WITHOUT_TAGS)
def test_a_form_without_tags_is_read(text, rule):
    found = extract(text, "choice", CHOICES)
    assert (found.answer, found.rule) == ("B", rule)


@pytest.mark.parametrize("text", [t for t in DISTRACTORS])
def test_a_distractor_is_not_read_and_says_why(text):
    found = extract(text, "choice", CHOICES)
    assert found.answer is None
    assert found.rule in ("ambiguous", "unparsed")


@pytest.mark.parametrize("text", FORMS)
def test_the_span_holds_the_letter_or_the_words(text):
    found = extract(text, "choice", CHOICES)
    start, end = found.span
    read = " ".join(text[start:end].casefold().replace("ｂ", "b").split())
    assert "b" in read or "close tap" in read
    assert end - start < 80


def relabelled(text, order):
    """The text with the letters that options bear when they are shown in another order."""
    names = {"ABCD"[old]: "ABCD"[new] for new, old in enumerate(order)}
    names |= {name.lower(): new.lower() for name, new in names.items()}
    wide = {chr(ord(old) + 0xFEE0): chr(ord(new) + 0xFEE0) for old, new in names.items()}
    edge = "[0-9A-Za-z’']"
    text = re.sub(rf"(?<!{edge})[A-D](?!{edge})", lambda match: names[match[0]], text)
    text = re.sub(r"(?<=[>(){ ])[b](?=[.)<}]|$)", lambda match: names[match[0]], text)
    return "".join(wide.get(char, char) for char in text)


ARTICLES = re.compile(r"\bA [a-z]|\bI\b|\b[A-D]s?[’'+-]|[’'][A-D]\b|\ba\b|\b[a-d] |Ｂ|ab")
RELABELLED = [text for text in FORMS + DISTRACTORS if not ARTICLES.search(text) or "’B’" in text]


ORDERS = [(1, 0, 2, 3), (1, 2, 3, 0), (3, 2, 1, 0), (2, 3, 0, 1), (0, 2, 3, 1)]


def test_relabelling_the_options_relabels_the_answer():
    assert len(RELABELLED) > 200
    for text in RELABELLED:
        before = extract(text, "choice", CHOICES)
        for order in ORDERS:
            after = extract(relabelled(text, order), "choice", [CHOICES[old] for old in order])
            expected = before.answer and "ABCD"[order.index("ABCD".index(before.answer))]
            assert after.answer == expected, (text, order)
            assert after.rule == before.rule or expected is None, (text, order)


def test_texts_of_options_decide_and_not_their_places():
    for order in itertools.permutations(range(4)):
        choices = [CHOICES[old] for old in order]
        for text in (
            "<answer>close tap</answer>",
            "<answer>Close tap.</answer>",
            "“Close tap”",
            "\\boxed{\\text{close tap}}",
        ):
            assert extract(text, "choice", choices).answer == "ABCD"[choices.index("close tap")]


def test_an_option_may_hold_a_word_of_doubt():
    assert extract("It runs. The answer is B. No.", "choice", ("Yes", "No")).answer == "B"
    assert extract("It stands. So the answer is (A) not moving.", "choice", ("not moving", "moving")).answer == "A"
    assert extract("It stands. The answer is not B.", "choice", ("Yes", "No")).answer is None


def test_twenty_six_options_are_read_and_letters_out_of_range_are_not():
    many = [f"thing number {i}" for i in range(26)]
    assert extract("<answer>Z</answer>", "choice", many).answer == "Z"
    assert extract("The answer is I.", "choice", many).answer == "I"
    assert extract("<answer>I think so</answer>", "choice", many).answer is None
    assert extract("<answer>Z</answer>", "choice", many[:25]).answer is None


def test_alternatives_name_what_else_was_said():
    assert extract("<answer>A or B</answer>", "choice", CHOICES).alternatives == ("A", "B")
    assert extract("<answer>B. open drawer</answer>", "choice", CHOICES).alternatives == ("A", "B")
    assert extract("The answer is B, not A.", "choice", CHOICES).alternatives == ("A",)
    several = extract("<answer>A</answer><answer>C</answer><answer>B</answer>", "choice", CHOICES)
    assert (several.answer, several.multiple, several.alternatives) == ("B", True, ("A", "C"))
    assert not extract("<answer>B</answer> <answer>B</answer>", "choice", CHOICES).multiple


def test_the_three_modes_differ_where_they_should():
    text = "<think>t</think><answer>A</answer> no, <answer>(B)</answer>"
    found = {mode: extract(text, "choice", CHOICES, mode) for mode in ("strict", "official", "lenient")}
    assert {mode: one.answer for mode, one in found.items()} == {"strict": "(B)", "official": "A", "lenient": "B"}
    assert {mode: one.rule for mode, one in found.items()} == {
        "strict": "tags", "official": "first block", "lenient": "wrapped",
    }  # fmt: skip
    assert {mode: text[slice(*one.span)] for mode, one in found.items()} == {
        "strict": "(B)", "official": "A", "lenient": "(B)",
    }  # fmt: skip
    bare = extract(" B ", "choice", CHOICES, "official")
    assert (bare.answer, bare.rule, bare.span) == ("B", "whole output", (1, 2))
    assert extract("B", "choice", CHOICES, "strict").rule == "unparsed"
    with pytest.raises(ValueError, match="mode"):
        extract("B", "choice", CHOICES, "soft")


def test_strict_is_what_the_parser_grades():
    for text in FORMS + DISTRACTORS:
        found, parsed = extract(text, "choice", CHOICES, "strict"), parse(text)
        assert (found.answer, found.multiple) == (parsed.answer, parsed.multiple)


def test_what_strict_reads_as_a_letter_lenient_reads_too():
    for name in "ABCD":
        for text in (
            f"<answer>{name}</answer>",
            f"<answer> {name}\n</answer>",
            f"<think>C</think><answer>{name}</answer>",
        ):
            assert extract(text, "choice", CHOICES, "strict").answer == extract(text, "choice", CHOICES).answer == name


ANY_TEXT = st.lists(st.sampled_from(forms.PIECES), max_size=30).map("".join)


@given(ANY_TEXT)
@settings(max_examples=200)
def test_any_text_gives_an_answer_in_range_or_says_that_there_is_none(text):
    for kind in ("choice", "numerical", "free"):
        found = extract(text, kind, CHOICES)
        assert (found.answer is None) == (found.rule in ("ambiguous", "unparsed"))
        if found.span is not None:
            assert 0 <= found.span[0] < found.span[1] <= len(text)
        if kind == "choice" and found.answer is not None:
            assert found.answer in "ABCD"
            assert found.answer not in found.alternatives


SIZE = 100_000
ADVERSARIES = [piece * (SIZE // len(piece)) for piece in forms.PIECES]
ADVERSARIES += [f"<answer>{text}" for text in ADVERSARIES[::7]]
ADVERSARIES += [f"<think>{text}</think>The answer is B." for text in ADVERSARIES[::9]]
ADVERSARIES += [
    "B" + " " * SIZE + "close tap",
    "<answer>B" + " " * SIZE + "</answer>",
    "The answer is" + " " * SIZE + "B.",
    "\\boxed{" + "{" * SIZE,
    "\\boxed{" * (SIZE // 14) + "}" * (SIZE // 2),
    "<answer>" * (SIZE // 17) + "B" + "</answer>" * (SIZE // 17),
    "The answer is " + "1" * SIZE,
    "The answer is " + "1,111" * (SIZE // 5),
    "".join(random.Random(0).choices(forms.PIECES, k=SIZE // 5)),
]
LIMIT = 0.05  # seconds


def seconds(text, wrapped):
    start = time.process_time()
    extract(text, "choice", CHOICES)
    extract(text, "numerical")
    extract(text, "choice", CHOICES, "official")
    extract(wrapped, "choice", CHOICES)
    extract(wrapped, "numerical")
    return (time.process_time() - start) / 5


@pytest.mark.parametrize("text", ADVERSARIES, ids=lambda text: ascii(text[:16]))
def test_no_text_of_a_hundred_thousand_characters_takes_fifty_milliseconds(text):
    wrapped = f"<answer>{text}</answer>"
    assert seconds(text, wrapped) < LIMIT or min(seconds(text, wrapped) for _ in range(3)) < LIMIT


@pytest.mark.parametrize("text", ADVERSARIES[::4], ids=lambda text: ascii(text[:16]))
def test_conclusions_of_such_texts_are_found_as_fast(text):
    def spent():
        start = time.process_time()
        consistency_rule(f"<think>{text}</think><answer>B</answer>", CHOICES)
        return time.process_time() - start

    assert spent() < LIMIT or min(spent() for _ in range(3)) < LIMIT
