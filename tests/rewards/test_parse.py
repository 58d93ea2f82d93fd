"""The parser: which block counts, where it stands, and that no text can make it slow."""

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrl.rewards.parse import first_block, format_ok, parse

PIECES = ["<think>", "</think>", "<answer>", "</answer>", " ", "\n", "B", "so ", "<", ">", "</", "answer"]
texts = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def test_an_ordinary_completion():
    text = "<think>The tap runs. So B.</think>\n<answer> B\n</answer>"
    parsed = parse(text)
    assert parsed.reasoning == "The tap runs. So B."
    assert parsed.answer == "B"
    assert text[slice(*parsed.span)] == " B\n"
    assert (len(parsed.contents), parsed.multiple, parsed.format_ok) == (1, False, True)


def test_nothing_is_found_in_nothing():
    parsed = parse("")
    assert (parsed.reasoning, parsed.answer, parsed.span, len(parsed.contents)) == (None, None, None, 0)
    assert not parsed.format_ok


@pytest.mark.parametrize(
    ("text", "answer", "count", "multiple"),
    [
        ("<answer>A</answer><answer>B</answer>", "B", 2, True),  # no think block: the last one anywhere
        ("<answer>B</answer> <answer> B </answer>", "B", 2, False),  # several that agree
        ("<think><answer>A</answer></think><answer>B</answer>", "B", 1, False),  # not in the reasoning
        ("<think><answer>A</answer></think> B", None, 0, False),
        ("<think>x</think><answer>A</answer></think>", None, 0, False),  # after the last </think>
        ("<answer>A<answer>B</answer>", "B", 1, False),  # the inner opening tag
        ("<answer>A</answer> or <answer>B", "A", 1, False),  # an unclosed block is none
        ("</answer>A<answer>B</answer>", "B", 1, False),
        ("<answer></answer>", "", 1, False),
        ("<answer>A", None, 0, False),
        ("<ANSWER>A</ANSWER>", None, 0, False),
    ],
)
def test_which_block_counts(text, answer, count, multiple):
    parsed = parse(text)
    assert (parsed.answer, len(parsed.contents), parsed.multiple) == (answer, count, multiple)
    assert answer is None or parsed.span[0] == text.rindex("<answer>", 0, text.rindex("</answer>")) + len("<answer>")


@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        ("<think>a</think><answer>B</answer>", "a"),
        ("a</think><answer>B</answer>", "a"),  # the prompt opened the block
        ("<think>a", None),  # cut by the token limit
        ("<think>a<think>b</think>c</think>", "a<think>b</think>c"),
        ("a", None),
    ],
)
def test_the_reasoning_is_what_the_think_block_holds(text, reasoning):
    assert parse(text).reasoning == reasoning


@given(texts)
def test_the_span_lies_strictly_between_its_tags(text):
    parsed = parse(text)
    if parsed.span is None:
        assert parsed.answer is None
        return
    start, end = parsed.span
    assert text[:start].endswith("<answer>")
    assert text[end:].startswith("</answer>")
    assert text[start:end].strip() == parsed.answer
    assert "</think>" not in text[start:]


@given(texts)
def test_format_agrees_with_the_published_expression(text):
    expression = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
    assert format_ok(text) == bool(expression.fullmatch(text))


@given(texts)
def test_official_agrees_with_the_published_expression(text):
    match = re.search(r"<answer>(.*?)</answer>", text, re.DOTALL)
    assert first_block(text) == (match[1] if match else text).strip()


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("<think></think><answer></answer>", True),
        ("<think>a</think>\n\t <answer>B</answer>", True),
        ("<think>a</think>so<answer>B</answer>", False),
        (" <think>a</think><answer>B</answer>", False),
        ("<think>a</think><answer>B</answer>\n", False),
        ("<think>a</think><answer>B</answer><answer>C</answer>", True),  # the published rule lets contents hold tags
        ("<answer>B</answer>", False),
        ("<think>a</think><answer>", False),
    ],
)
def test_format_of_a_whole_completion(text, ok):
    assert parse(text).format_ok is ok


def test_first_and_last_block_differ_between_official_and_graded():
    text = "<think>t</think><answer>A</answer><answer>B</answer>"
    assert (first_block(text), parse(text).answer) == ("A", "B")


def adversaries(size=100_000):
    yield from (piece * (size // len(piece)) for piece in PIECES)
    yield "<think>" + "</think> " * (size // 9)
    yield "<think>" + "</think>" + " " * size
    yield "<think>" + "</think>                     " * (size // 29) + "</answer>"
    yield "<answer>" * (size // 17) + "</answer>" * (size // 17)
    yield "<answer></answer>" * (size // 17)
    yield "<answe" * (size // 6)
    yield "<think><answer>" * (size // 15) + "</answer>"
    yield "".join(random.Random(0).choices(PIECES, k=size // 5))


@pytest.mark.parametrize("text", list(adversaries()), ids=lambda text: f"{text[:10]!r}..{text[-10:]!r}")
def test_no_text_of_a_hundred_thousand_characters_takes_fifty_milliseconds(text):
    spent = min(timed(text) for _ in range(3))
    assert spent < 0.05


def timed(text):
    start = time.process_time()
    parse(text)
    first_block(text)
    return time.process_time() - start
