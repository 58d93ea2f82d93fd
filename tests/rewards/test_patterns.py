"""Examples of every pattern by which answers are read: what each finds, and what it leaves."""

import re

import pytest

from mmrl.rewards import answer_regions, consistency, number_rules, option_mentions, option_patterns, plain_text

MODULES = (answer_regions, consistency, number_rules, option_patterns, option_mentions, plain_text)
AT_THE_START = {"REVISION", "SUSPENSION", "HEAD", "CLEAR", "ANSWER_LINE", "ARTICLE"}  # used by their match, not search
EXAMPLES = {  # pattern: (texts in which something is found, texts in which nothing is)
    "answer_regions.STOP": (("Yes. B", "是。B"), ("Yes.B", "3.5")),
    "consistency.SENTENCES": (("Stop. Go", "停。走", "a\nb"), ("3.5", "a b")),
    "consistency.CLAUSES": (("x, y", "x because y", "x and A", "所以选"), ("x y", "x and open", "butter")),
    "consistency.CUE": (("so", "The next step is", "the best option", "因此"), ("sofa", "the next step", "best")),
    "consistency.REVISION": (("Wait, no", "No, B", "...but"), ("the wait", "No B")),
    "consistency.SUSPENSION": (("Wait", "On second thought"), ("But", "I wait")),
    "consistency.NEGATION": (("is not", "isn't", "rules A out", "不"), ("nothing", "knot")),
    "consistency.SUPPOSED": (("if A", "A?", "如果"), ("A", "wife")),
    "number_rules.NUMBER": (("3", "-1,200.5", "3/4", "\\frac{1}{2}", "1e-3", "2 x 10^3", ".5"), ("3rd", "3D", "x3", "1.2.3")),
    "number_rules.WORD": (("seven", "Twenty-one", "thirty two"), ("sevens", "often")),
    "number_rules.ONE_AS_PRONOUN": (("the one", "which one", "one of them", "the heavier one"), ("one cup", "only one")),
    "number_rules.CUE": (("the answer here is", "Total:", "=", "答案是"), ("it is", "the answer")),
    "number_rules.BETWEEN": (("-", " m to ", " or "), (" cups, ", " or about ")),
    "number_rules.DOUBT": (("more than", "maybe", "?", "isn't", "不"), ("more", "moreover")),
    "number_rules.WHOLE": (("", "about ", "The final answer is ", "$", "答案是"), ("I saw ", "the answers ")),
    "option_mentions.WORD": (("word",), ("...",)),
    "option_patterns.LABEL": (("The correct answer is: B", "option B", "答案是B"), ("B", "I answer B")),
    "option_patterns.ANSWER_LINE": (("Answer: B", "**My final answer", "正确答案"), ("swer",)),
    "option_patterns.INTRODUCES": (("The best option here:", "The answer is: **", "答案是："), ("The answer is B", "option:")),
    "option_patterns.HEAD": (("B. open", "(b", "B"), ("Be", "B's")),
    "option_patterns.BRACKETED": (("b)", "(b ]"), ("b", "B)")),
    "option_patterns.CLEAR": ((".", "):", ")", "\n"), (" open", ",")),
    "option_patterns.ANSWER_IS": (("answer: B", "the answer is clearly option B", "the choice should be (B)"), ("the answer is Be", "option B")),
    "option_patterns.OPTION_CHOSEN": (("Option B", "so, option B", "go with the choice B"), ("an option B", "option 2")),
    "option_patterns.LETTER_CHOSEN": (("I choose B.", "going with B because"), ("I choose A drawer", "choosing B")),
    "option_patterns.LETTER_IS_RIGHT": (("B is the correct one", "(B is best"), ("B is open", "AB is correct")),
    "option_patterns.CHINESE_ANSWER": (("答案是B", "故选 B", "应该选: B"), ("答案是打开", "B")),
    "option_patterns.CLOSING_SO": (("So, B.", "-> B", "B"), ("maybe B", "So, B opens")),
    "option_patterns.CLOSING_CHOICE": (("hence B", "I pick: B", "go for (B)!"), ("picks B", "hence B opens")),
    "option_patterns.CLOSING_IT_IS": (("It's B.", "that must be (B)"), ("it was B", "it is Be")),
    "option_patterns.CLOSING_BRACKET": (("the tap (B).", "[b]"), ("figure (B)", "(B) opens")),
    "option_patterns.CLOSING_LETTER_IT_IS": (("So B it is.", "B it is"), ("B it was", "say B it is")),
    "option_patterns.TAKEN_BACK": (("Wait, no", "I changed my mind", "wrong"), ("waiter", "I change clothes")),
    "option_patterns.DOUBT": (("B or C", "isn't", "B?", "不"), ("normal", "B? C")),
    "option_patterns.REFUSED": ((", not A", "rather than option A or C", "but not (A)"), ("not now", "knot A")),
    "option_patterns.REASON": (("because", "given that", "因为"), ("cause", "given")),
    "option_patterns.NAME": (("B", "(B)", "选B"), ("AB", "I'm", "l'A", "b")),
    "option_patterns.NAMED_OPTION": (("option ", "the choice (", "answer: "), ("optional", "option of ")),
    "option_patterns.ARTICLE": (("A person", "I see"), ("A is", "A because", "A B")),
    "plain_text.DECORATION": (("a  b", "\\text{B}", "<b>", "**B**", "\\(", "“"), ("2*3", "\\texts", "<c>")),
}  # fmt: skip


PATTERNS: dict[str, re.Pattern[str]] = {}
for module in MODULES:
    for name, value in vars(module).items():
        if (
            isinstance(value, re.Pattern) and value not in PATTERNS.values()
        ):  # where it is made, not where it is imported
            PATTERNS[f"{module.__name__.rpartition('.')[2]}.{name}"] = value


def test_every_pattern_has_examples():
    assert set(EXAMPLES) == set(PATTERNS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_pattern_finds_its_examples_and_leaves_the_others(name):
    pattern = PATTERNS[name]
    look = pattern.match if name.partition(".")[2] in AT_THE_START else pattern.search
    found, left = EXAMPLES[name]
    assert [text for text in found if not look(text)] == []
    assert [text for text in left if look(text)] == []
