"""Prompt wording, to the character."""

from dataclasses import replace
from pathlib import Path

import pytest

from mmrl.data import prompts
from mmrl.types import KINDS, Example, Media, Message
from mmrl.world.grammar import prompt_text

EXAMPLE = Example(
    id="1", question="What next?", answer="B", choices=("cut", "wash"), media=(Media("video", Path("a.mp4")),)
)

CARE = (
    "What next?Options:\nA. cut\nB. wash\n\n"
    "Please think about this question as if you were a human pondering deeply. Engage in an internal dialogue using "
    "expressions such as 'let me think', 'wait', 'Hmm', 'oh, I see', 'let's break it down', etc, or other natural "
    "language thought expressions It's encouraged to include self-reflection or verification in the reasoning process. "
    "Provide your detailed reasoning between the <think> </think> tags, and then give your final answer between the "
    "<answer> </answer> tags. Please provide only the single option letter (e.g., A, B, C, D, etc.) within the "
    "<answer> </answer> tags."
)


def of(kind):
    return Example(id="1", question="What next?", kind=kind)


@pytest.mark.parametrize("template", ["care", "video_r1"])
def test_the_training_wording_of_care(template):
    assert prompts.text(EXAMPLE, template) == CARE


def test_the_evaluation_wording_of_care_says_and_but_not_in_the_suffix():
    expected = CARE.replace("the <think> </think>", "the <think> and </think>")
    expected = expected.replace("between the <answer> </answer>", "between the <answer> and </answer>")
    assert prompts.text(EXAMPLE, "care_eval") == expected
    assert expected.endswith("within the <answer> </answer> tags.")


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("numerical", " Please provide the numerical value (e.g., 42 or 3.14) within the <answer> </answer> tags."),
        ("regression", " Please provide the numerical value (e.g., 42 or 3.14) within the <answer> </answer> tags."),
        (
            "ocr",
            " Please transcribe text from the image/video clearly and provide your text answer within the <answer> "
            "</answer> tags.",
        ),
        ("free", " Please provide your text answer within the <answer> </answer> tags."),
    ],
)
def test_each_kind_has_its_suffix_and_no_options(kind, suffix):
    text = prompts.text(of(kind), "video_r1")
    assert text.startswith("What next?\nPlease think about this question")
    assert text.endswith("<answer> </answer> tags." + suffix)


def test_the_wording_of_the_first_paper():
    assert prompts.text(EXAMPLE, "seed_bench_r1") == (
        "What next?\nA. cut\nB. wash\n Output the thinking process in <think> </think> and final answer in <answer> "
        "</answer> tags, i.e., <think> reasoning process here </think><answer> answer here </answer>. "
    )


def test_the_toy_wording_is_question_and_options_alone():
    four = replace(EXAMPLE, choices=("cut", "wash", "dry", "fill"))
    assert prompts.text(four, "toy") == prompt_text(four.question, four.choices)
    assert prompts.text(EXAMPLE, "toy") == "What next?\n A cut\n B wash"


@pytest.mark.parametrize("kind", KINDS)
def test_plain_words_every_kind(kind):
    text = prompts.text(EXAMPLE if kind == "choice" else of(kind), "plain")
    assert text.startswith("What next?\nA. cut\nB. wash\nThink" if kind == "choice" else "What next?\nThink")
    assert "<think>" in text
    assert text.endswith("<answer> and </answer>.")


def test_one_message_of_the_user_media_first():
    assert prompts.messages(EXAMPLE, "toy") == (Message("user", (*EXAMPLE.media, "What next?\n A cut\n B wash")),)


@pytest.mark.parametrize("template", ["none", "care"])
def test_a_ready_made_chat_is_left_as_it_is(template):
    chat = (Message("system", ("Be brief.",)), Message("user", ("Hello",)))
    assert prompts.messages(Example(id="1", question="Hello", messages=chat), template) is chat


@pytest.mark.parametrize(
    ("example", "template", "message"),
    [
        (
            of("free"),
            "toy",
            r"template toy \(example 1\): expected kind choice, found kind free; choose another template",
        ),
        (of("ocr"), "seed_bench_r1", "expected kind choice, found kind ocr"),
        (of("choice"), "care", "expected a choice among 1 to 26 options, found 0 options"),
        (EXAMPLE, "none", "expected a ready-made chat, found an example without messages"),
        (EXAMPLE, "qwen", "template: expected one of care, care_eval, .*found 'qwen'"),
    ],
)
def test_what_a_template_cannot_word_is_refused(example, template, message):
    with pytest.raises(ValueError, match=message):
        prompts.messages(example, template)


def test_every_named_template_is_there():
    from typing import get_args

    assert set(prompts.TEMPLATES) == set(get_args(prompts.Template))


def test_the_wordings_of_longvideobench_tvbench_egoplan_and_video_holmes():
    asked = replace(EXAMPLE, choices=("red", "blue"))
    assert prompts.text(asked, "longvideobench") == (
        f"Question: {asked.question}\nA. red\nB. blue\nAnswer with the option's letter from the given choices directly."
    )
    assert prompts.text(asked, "tvbench").endswith(
        f"question.\nQuestion: {asked.question}\nOptions:\n(A) red\n(B) blue\nOnly give the best option."
    )
    assert prompts.text(asked, "egoplan_bench2").endswith(f"correct option.\n\n{asked.question}\n\nA. red\nB. blue\n")
    assert prompts.text(asked, "video_holmes").endswith(
        f"The question is: {asked.question}. The options are: A: red, B: blue. Your answer:"
    )


@pytest.mark.parametrize("template", ["longvideobench", "tvbench", "egoplan_bench2", "video_holmes"])
def test_wordings_for_choices_refuse_numbers(template):
    with pytest.raises(ValueError, match="expected kind choice, found kind numerical"):
        prompts.text(of("numerical"), template)
