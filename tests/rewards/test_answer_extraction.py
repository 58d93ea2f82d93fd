"""The lenient rules: what it must read, and what it must not."""

import pytest

from mmrl.rewards.answer_extraction import chosen_letter

CHOICES = ("open drawer", "close tap", "pick up the red cube", "move left")  # every form below means B, close tap

IN_TAGS = [
    ("B", "exact"),
    (" B ", "exact"),
    ("\nB\n", "exact"),
    ("B.", "wrapped"),
    ("(B)", "wrapped"),
    ("[B]", "wrapped"),
    ("{B}", "wrapped"),
    ("B)", "wrapped"),
    ("B:", "wrapped"),
    ("**B**", "wrapped"),
    ("**B.**", "wrapped"),
    ("*B*", "wrapped"),
    ("`B`", "wrapped"),
    ("'B'", "wrapped"),
    ('"B"', "wrapped"),
    ("“B”", "wrapped"),
    ("$B$", "wrapped"),
    ("(B).", "wrapped"),
    ("Option B", "wrapped"),
    ("option B.", "wrapped"),
    ("Option (B)", "wrapped"),
    ("Answer: B", "wrapped"),
    ("The answer is B", "wrapped"),
    ("The correct answer is B.", "wrapped"),
    ("The best option is: B", "wrapped"),
    ("Choice B", "wrapped"),
    ("close tap", "text"),
    ("Close tap", "text"),
    ("close tap.", "text"),
    ("CLOSE  TAP", "text"),
    ("close\ntap", "text"),
    ('"close tap"', "text"),
    ("**Close tap**", "text"),
    ("B. close tap", "letter and text"),
    ("B. Close tap.", "letter and text"),
    ("B) close tap", "letter and text"),
    ("(B) close tap", "letter and text"),
    ("B: close tap", "letter and text"),
    ("B - close tap", "letter and text"),
    ("B close tap", "letter and text"),
    ("B.close tap", "letter and text"),
    ("B.\nclose tap", "letter and text"),
    ("**B.** close tap", "letter and text"),
    ("**B. close tap**", "letter and text"),
    ("Option B: close tap", "letter and text"),
    ("B (close tap)", "letter and text"),
    ('B. "close tap"', "letter and text"),
    ("B. turn the water off", "letter and text"),  # of no option: the stop makes the letter clear
    ("B) because the sink is full", "letter and text"),
    ("I think the answer is B.", "phrase"),
    ("So the correct choice is (B).", "phrase"),
    ("B is the correct answer", "phrase"),
    ("B is correct.", "phrase"),
]

WITHOUT_TAGS = [
    ("B", "whole"),
    ("B.", "whole"),
    ("(B)", "whole"),
    ("close tap", "whole"),
    ("B. close tap", "whole"),
    ("<think>Drawer or tap? A or B?</think>B", "whole"),
    ("<think>Drawer or tap? A or B?</think>\n\nB. close tap", "whole"),
    ("\\boxed{B}", "boxed"),
    ("So it is \\boxed{\\text{B}}.", "boxed"),
    ("First \\boxed{A}, no: \\boxed{B}", "boxed"),
    ("The water still runs. The answer is B.", "phrase"),
    ("The water still runs.\nAnswer: B", "phrase"),
    ("The water still runs.\n**Answer:** B", "phrase"),
    ("**Final answer: B**", "whole"),
    ("The water runs, so the answer is option B.", "phrase"),
    ("Therefore, the correct answer is (B) close tap.", "phrase"),
    ("The answer is B. close tap", "whole"),
    ("The water runs. So the answer is B. Close tap.", "phrase"),
    ("Looking at the sink, the answer should be B because the water runs.", "phrase"),
    ("A person is at the sink. Option B is correct.", "phrase"),
    ("The drawer is shut. My choice is B.", "phrase"),
    ("The drawer is shut. I choose B.", "phrase"),
    ("The drawer is shut. I would go with B.", "phrase"),
    ("The drawer is shut. It must be B.", "alone"),
    ("The drawer is shut. Therefore, B.", "alone"),
    ("The water runs: B", "alone"),
    ("The next action is to close the tap (B).", "alone"),
    ("<think>Hm.</think><answer>B", "unclosed"),
    ("<answer>B. close tap", "unclosed"),
    ("<think>First A.</think><answer>A</answer> no <answer>B</answer>", "exact"),
]

NO_LETTER_IN_TAGS = [
    "",
    "A person picks up a cup",
    "A cup",
    "I",
    "I think so",
    "Based on the video",
    "Because the tap runs",
    "Both",
    "Drawer",
    "Drawer first",
    "Cup",
    "BB",
    "AB",
    "A or B",
    "A and B",
    "A, B",
    "A/B",
    "A. or B.",
    "B or C",
    "B. open drawer",  # letter and text disagree
    "(C) close tap",
    "B: not close tap",
    "B? C?",
    "E",
    "E. close the window",
    "Z",
    "1",
    "2",
    "None",
    "None of the above",
    "not B",
    "Not B.",
    "The answer is not B",
    "The answer is A person",
    "The answer is either A or B",
    "B is wrong",
    "B is not correct",
    "Option text",
    "<think>B",
    "DVD",
    "C++",
    "B's tap",
    "open drawer or close tap",
    "any of A, B, C, D",
]

NO_LETTER_WITHOUT_TAGS = [
    "",
    "A person picks up the red cube.",
    "a",
    "I",
    "I do not know.",
    "I am not sure, I would say a tap.",
    "Based on the video, the tap is open.",
    "Because of the water. Based on that, Drawer.",
    "Close the tap is refuted, since B is wrong.",
    "The answer is not B.",
    "It cannot be B.",
    "It isn't B.",
    "Neither A nor B.",
    "Either A or B.",
    "It could be B or C.",
    "I would rule out B.",
    "Anything except B.",
    "C rather than B.",
    "Is the answer B?",
    "If the tap runs, the answer is B.",
    "The answer is A person at the sink.",
    "My choice is A tap.",
    "The bottle holds vitamin C.",
    "This is plan B",
    "The person follows plan B.",
    "The file is on drive D",
    "See figure (B).",
    "See panel (C).",
    "The tap has type A",
    "Option B is wrong.",
    "The answer is unclear: A or D",
    "The answer is E.",
    "So, E.",
    "\\boxed{42}",
    "\\boxed{}",
    "\\boxed{A or B}",
    "<think>So the answer is B.",  # reasoning cut by the token limit has no answer
    "<think>So B.</think>",
    "<think>So B.</think> I stop here.",
    "<answer>A</answer></think>",
    "A. open drawer\nB. close tap\nC. pick up the red cube\nD. move left",  # the options repeated
    "The options are A, B, C and D.",
    "The answer is B. No, wait.",
    "The answer is B. Open drawer.",
    "First I thought the answer is B. Later I saw the cup",
    "Option text of B inside a refutation: close tap is wrong",
    "The robot said: I",
    "Grade A",
    "He had a B in school",
    "The answer is in the video.",
    "answer",
    "option",
    "The man closes the tap.",
    "THE ANSWER IS BLUE",
    "ABCD",
    "The best option is Drawer.",
    "the answer is b",
]


def test_there_are_sixty_of_each():
    assert len(IN_TAGS) + len(WITHOUT_TAGS) >= 60
    assert len(NO_LETTER_IN_TAGS) + len(NO_LETTER_WITHOUT_TAGS) >= 60


@pytest.mark.parametrize(("content", "rule"), IN_TAGS)
def test_a_form_in_tags_is_read(content, rule):
    assert chosen_letter(f"<think>Is it A, C or D?</think>\n<answer>{content}</answer>", CHOICES) == ("B", rule)


@pytest.mark.parametrize(("text", "rule"), WITHOUT_TAGS)
def test_a_form_without_tags_is_read(text, rule):
    assert chosen_letter(text, CHOICES) == ("B", rule)


@pytest.mark.parametrize("content", NO_LETTER_IN_TAGS)
def test_a_distractor_in_tags_is_no_letter(content):
    found, rule = chosen_letter(f"<think>So the answer is B.</think><answer>{content}</answer>", CHOICES)
    assert found is None
    assert rule in {"unparsed", "ambiguous"}


@pytest.mark.parametrize("text", NO_LETTER_WITHOUT_TAGS)
def test_a_distractor_without_tags_is_no_letter(text):
    assert chosen_letter(text, CHOICES)[0] is None


def test_every_letter_is_read_alike():
    for index, name in enumerate("ABCD"):
        text = CHOICES[index]
        for form in (f"{name}", f"({name})", f"{name}. {text}", f"Option {name}", f"The answer is {name}.", text):
            assert chosen_letter(f"<answer>{form}</answer>", CHOICES)[0] == name, form
            assert chosen_letter(form, CHOICES)[0] == name, form


def test_an_option_that_begins_like_an_article_is_read_by_its_text():
    choices = ("A man walks", "A man runs", "I see nothing", "B")
    assert chosen_letter("<answer>A man runs</answer>", choices)[0] == "B"
    assert chosen_letter("<answer>B. A man runs</answer>", choices)[0] == "B"
    assert chosen_letter("<answer>A. A man runs</answer>", choices) == (None, "ambiguous")
    assert chosen_letter("<answer>I see nothing</answer>", choices)[0] == "C"
    assert chosen_letter("<answer>B</answer>", choices) == ("B", "exact")  # a letter is a letter before it is a text


def test_two_options_of_one_text_are_told_apart_by_letter_only():
    choices = ("yes", "no", "Yes.")
    assert chosen_letter("<answer>yes</answer>", choices)[0] is None
    assert chosen_letter("<answer>C. yes</answer>", choices)[0] == "C"
    assert chosen_letter("<answer>C</answer>", choices)[0] == "C"


def test_a_contradiction_is_called_ambiguous():
    assert chosen_letter("<answer>A or B</answer>", CHOICES) == (None, "ambiguous")
    assert chosen_letter("<answer>B. open drawer</answer>", CHOICES) == (None, "ambiguous")
    assert chosen_letter("<answer>banana</answer>", CHOICES) == (None, "unparsed")


def test_choices_are_needed():
    with pytest.raises(ValueError, match="1 to 26 choices"):
        chosen_letter("<answer>B</answer>", ())
