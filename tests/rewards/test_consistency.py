"""The rules that find what a reasoning concludes."""

import re
import time

import pytest

from mmrl.rewards.consistency import concludes, consistency, consistency_rule

CHOICES = ("open drawer", "close tap", "pick up the red cube", "open drawer and take spoon")

CONCLUDES = [
    ("The tap runs. So the answer is B.", "B"),
    ("The tap runs. So B", "B"),
    ("Therefore, the next step is to close tap.", "B"),
    ("Thus close the tap", "B"),  # close to the option's words
    ("so i should close tap, option B.", "B"),  # letter and words agree
    ("The best option is B: close tap.", "B"),
    ("So the answer is B, not A.", "B"),
    ("So it is B rather than A.", "B"),
    ("A is wrong and B is right, so the answer is B.", "B"),
    ("So B, because A is wrong.", "B"),
    ("Not A. So the answer is not C but B.", "B"),
    ("So the answer is A. Wait, the drawer is open. So it is B.", "B"),
    ("So the answer is A. But B is closer.", "B"),  # a revision overrides
    ("So the answer is A. Actually, close tap comes first.", "B"),
    ("So the answer is B. The spoon is not needed.", "B"),
    ("So the answer is B. But the light is on.", "B"),  # a "but" that names nothing
    ("The person is at the sink. Hence option A.", "A"),
    ("So the answer is A because the drawer is shut.", "A"),
    ("So they open drawer and take spoon.", "D"),  # the longer option, not A within it
    ("So they open drawer.", "A"),
    ("Therefore the robot must pick up the red cube.", "C"),
    ("THEREFORE CLOSE TAP.", "B"),
    ("So the answer is B. If the drawer were open, the answer would be A.", "B"),  # supposed
    ("So I choose option B because A is done.", "B"),  # a reason
    ("Since A is done, the answer is B.", "B"),
    ("So the answer is B. Is it not A?", "B"),
    ("水在流。因此答案是B。", "B"),
    ("所以下一步是 close tap，而不是 A。", "B"),
    ("So the answer is B. But A also fits.", "A"),  # the article is no option, the option is no article
]

CONCLUDES_NOTHING = [
    "",
    "The tap runs.",
    "A person is at the sink.",
    "So A person is at the sink.",
    "So either A or B.",
    "So the answer is A or C.",
    "So the answer is not B.",
    "So it can't be B.",
    "So the answer is B. Wait, let me look again. The drawer is shut.",
    "So the answer is B. No, B is wrong.",
    "So the answer is B. Later it is clear that B is impossible.",
    "So I have to look again.",
    "Therefore the person is happy.",
    "So the vitamin helps.",
    "So the answer is E.",
    "So the answer is b.",
    "So open drawer, option B.",  # letter and words disagree
    "So the answer would be A if the drawer were closed.",
    "Is the answer B?",
    "答案不是B。",
    "答案是B吗？",
]


@pytest.mark.parametrize(("reasoning", "name"), CONCLUDES)
def test_a_conclusion_is_found(reasoning, name):
    assert consistency_rule(f"<think>{reasoning}</think><answer>C</answer>", CHOICES) == name


@pytest.mark.parametrize("reasoning", CONCLUDES_NOTHING)
def test_no_conclusion_is_invented(reasoning):
    assert consistency_rule(f"<think>{reasoning}</think><answer>B</answer>", CHOICES) is None


def test_relabelling_the_options_relabels_the_conclusion():
    for reasoning, name in CONCLUDES:
        if re.search(r"\bA (?:person|also|is)", reasoning):
            continue
        for order in ((1, 0, 2, 3), (3, 2, 1, 0), (1, 2, 3, 0)):
            names = {"ABCD"[old]: "ABCD"[new] for new, old in enumerate(order)}
            text = re.sub(r"(?<![A-Za-z])[A-D](?![A-Za-z])", lambda match, names=names: names[match[0]], reasoning)
            found = consistency_rule(f"<think>{text}</think>", [CHOICES[old] for old in order])
            assert found == names[name], (reasoning, order)


def test_the_answer_is_not_read_as_reasoning():
    assert consistency_rule("<answer>B</answer>", CHOICES) is None
    assert consistency_rule("<think>So B", CHOICES) is None  # cut off by the token limit


@pytest.mark.parametrize(
    ("text", "same", "covered"),
    [
        ("<think>So B.</think><answer>B</answer>", 1, 1),
        ("<think>So B.</think><answer>B. close tap</answer>", 1, 1),
        ("<think>So B.</think><answer>A</answer>", 0, 1),
        ("<think>Hm.</think><answer>A</answer>", 0, 0),
        ("<think>So B.</think>", 0, 1),
        ("", 0, 0),
    ],
)
def test_consistency_compares_the_conclusion_with_the_answer(text, same, covered):
    assert consistency(text, choices=CHOICES, answer="D") == same  # whether it is right does not matter
    assert concludes(text, choices=CHOICES, answer="D") == covered


@pytest.mark.parametrize("piece", ["so ", "so B, ", "close ", "close tap ", ". ", "\n", ", ", "not B. ", "and A "])
def test_no_text_makes_the_rules_slow(piece):
    start = time.process_time()
    consistency_rule(f"<think>{piece * (100_000 // len(piece))}</think>", CHOICES)
    assert time.process_time() - start < 0.5
