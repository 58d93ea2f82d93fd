"""Numbers: sixty ways to write one, and what states none."""

import pytest

from mmrl.rewards.answer_extraction import extract
from mmrl.rewards.graders import lenient

IN_TAGS = [  # (content, number)
    ("5", "5"), (" 5 ", "5"), ("5.", "5"), ("5.0", "5"), ("+5", "5"), ("-5", "-5"), ("−5", "-5"), ("0.5", "0.5"),
    (".5", "0.5"), ("1,200", "1200"), ("1,234,567.5", "1234567.5"), ("1e3", "1000"), ("1.5E-2", "0.015"),
    ("1.5 × 10^3", "1500"), ("$2 \\times 10^{-2}$", "0.02"), ("5 m", "5"), ("5m", "5"), ("2.5 kg", "2.5"),
    ("12 square metres", "12"), ("25%", "25"), ("25 %", "25"), ("25 percent", "25"), ("$5", "5"), ("€5", "5"), ("5€", "5"),
    ("20°", "20"), ("3 m²", "3"), ("**5**", "5"), ("`5`", "5"), ("(5)", "5"), ("[5]", "5"), ('"5"', "5"), ("‘5’", "5"),
    ("$5$", "5"), ("\\boxed{5}", "5"), ("\\boxed{\\text{5 m}}", "5"), ("\\frac{1}{2}", "0.5"), ("1/4", "0.25"),
    ("-1/4", "-0.25"), ("five", "5"), ("Five", "5"), ("twenty-one", "21"), ("twenty one chairs", "21"), ("one", "1"),
    ("One.", "1"), ("zero", "0"), ("two chairs", "2"), ("about 5", "5"), ("approximately 5 m", "5"), ("~5", "5"),
    ("≈ 5.2", "5.2"), ("There are 5 chairs", "5"), ("There are two chairs.", "2"), ("The answer is 5.", "5"),
    ("Answer: 5", "5"), ("Answer: 5 chairs", "5"), ("x = 5", "5"), ("2 + 3 = 5", "5"), ("3 times 4 = 12 m", "12"),
    ("The total is 1,200 m", "1200"), ("5 chairs: the answer is 5", "5"), ("５", "5"), ("５．５", "5.5"), ("答案是5", "5"),
    ("约5米", "5"), ("The red one counts, so 2", "2"), ("12 metres.", "12"), ("007", "7"), ("1000000", "1000000"),
]  # fmt: skip

NO_NUMBER_IN_TAGS = [
    "", "many", "unknown", "none", "no idea", "the red one", "one of them", "which one", "B2", "v1.5.2", "12:30", "3-5", "3 - 5",
    "3 to 5", "3 or 5", "between 3 and 5", "from 3 to 5", "3–5 m", "two or three", "more than 5", "less than 5", "at least 5",
    "at most 5", "up to 5", "over 5", "> 5", "<5", "≥5", "5 ± 1", "not 5", "5?", "maybe 5", "I guess 5", "I'm unsure, 5",
    "it isn't 5", "不是5", "2024-05-01", "1.2.3", "3D", "the 2nd", "1st", "5th place", "1,2", "1,23", "3,5", "1/0", "inf",
    "nan", "infinity", "1e999", "9" * 400, "-", ".", ",", "e5", "1:1", "A", "x", "\\boxed{}", "\\frac{a}{b}", "five or 6?",
    "3到5", "mp4", "H264", "3, not 5",
]  # fmt: skip

WITHOUT_TAGS = [
    ("5", "5", "whole"), ("5.", "5", "whole"), ("about 5 m", "5", "whole"), ("1,200", "1200", "whole"), ("five", "5", "whole"),
    ("<think>Is it 3 or 4?</think>5", "5", "whole"), ("Answer: 5", "5", "whole"), ("I count 3 and 2.\nThe answer is 5.", "5", "phrase"),
    ("I count 3 and 2. So the total is 5 chairs.", "5", "phrase"), ("3 + 2, that is \\boxed{5}", "5", "boxed"),
    ("<answer>5", "5", "unclosed"), ("<answer>5 m", "5", "unclosed"), ("水在流。答案是5。", "5", "phrase"),
]  # fmt: skip

NO_NUMBER_WITHOUT_TAGS = [
    "", "The video was recorded in 2019.", "I see 3 chairs and 2 tables.", "At 00:12 a man enters.", "<think>The answer is 5.",
    "<think>5</think> I am not sure.", "The answer is between 3 and 5.", "The answer is not 5.", "Is the answer 5?",
    "Frame 12 shows it", "The answer is 5. Or 6, I do not know.", "The answer is somewhere in the room.", "Step 1",
    "<answer>The answer to question 3", "<answer>There are 5 cups and",
]  # fmt: skip


def test_there_are_sixty_of_each():
    assert len(IN_TAGS) >= 60
    assert len(NO_NUMBER_IN_TAGS) >= 60


@pytest.mark.parametrize(("content", "number"), IN_TAGS)
@pytest.mark.parametrize("kind", ["numerical", "regression"])
def test_a_number_in_tags_is_read_and_its_span_holds_it(content, number, kind):
    text = f"<think>Is it 7 or 8?</think><answer>{content}</answer>"
    found = extract(text, kind)
    assert found.answer == number
    assert content.find(text[slice(*found.span)]) >= 0


@pytest.mark.parametrize("content", NO_NUMBER_IN_TAGS)
def test_what_states_no_number_is_not_read_or_is_ambiguous(content):
    found = extract(f"<think>It is 5.</think><answer>{content}</answer>", "numerical")
    assert (found.answer, found.rule in ("ambiguous", "unparsed")) == (None, True)


@pytest.mark.parametrize(("text", "number", "rule"), WITHOUT_TAGS)
def test_a_number_without_tags_is_read(text, number, rule):
    found = extract(text, "numerical")
    assert (found.answer, found.rule) == (number, rule)


@pytest.mark.parametrize("text", NO_NUMBER_WITHOUT_TAGS)
def test_numbers_that_answer_nothing_are_not_read(text):
    assert extract(text, "numerical").answer is None


def test_the_last_of_several_numbers_is_flagged():
    found = extract("<answer>Of 7 cups, 3 are red and the rest, 4, blue</answer>", "numerical")
    assert (found.answer, found.rule, found.alternatives) == ("4", "last number", ("3", "7"))


def test_lenient_scores_what_is_read():
    def score(text, kind, gold):
        return lenient(text, kind=kind, answer=gold)

    assert score("<answer>about 1,200 m</answer>", "numerical", "1200") == 1
    assert score("The answer is 3.", "regression", "4") == pytest.approx(0.75)
    assert score("<answer>3 or 4</answer>", "numerical", "4") == 0
    assert score("<answer>stop sign", "ocr", "stop sign") == 1
    assert score("<think>It says stop.</think>stop sign", "ocr", "stop sign") == 1
    assert score("<think>stop sign", "ocr", "stop sign") == 0


@pytest.mark.parametrize("kind", ["ocr", "free"])
def test_free_text_is_the_block_else_what_follows_the_reasoning(kind):
    for text, answer, rule in (
        ("<think>t</think><answer> a b </answer>", "a b", "tags"),
        ("<think>t</think> a b\n", "a b", "whole"),
        ("a b", "a b", "whole"),
        ("<answer>a b", "a b", "unclosed"),
        ("<answer></answer>", None, "unparsed"),
        ("<think>a b", None, "unparsed"),
    ):
        found = extract(text, kind)
        assert (found.answer, found.rule) == (answer, rule)
        assert answer is None or text[slice(*found.span)] == answer
