"""All prompt templates of mmrl, by name.

All but "plain", "toy" and "none" are data: published numbers were measured with exactly these characters, mistakes included.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from mmrl.types import Example, Kind, Message, letter_at

Template = Literal[
    "care", "care_eval", "seed_bench_r1", "video_r1", "longvideobench", "video_holmes", "tvbench", "egoplan_bench2",
    "plain", "toy", "none",
]  # fmt: skip

# TencentARC/GRPO-CARE grpo.py, after tulerfeng/Video-R1; the full stop missing before "It's" is theirs.
THINK = (
    "Please think about this question as if you were a human pondering deeply. "
    "Engage in an internal dialogue using expressions such as 'let me think', 'wait', 'Hmm', 'oh, I see', "
    "'let's break it down', etc, or other natural language thought expressions "
    "It's encouraged to include self-reflection or verification in the reasoning process. "
    "Provide your detailed reasoning between the <think> </think> tags, "
    "and then give your final answer between the <answer> </answer> tags."
)
# TencentARC/GRPO-CARE eval_bench.py: "and" within the pairs of tags.
THINK_EVAL = THINK.replace("> </", "> and </")
SUFFIX: Mapping[Kind, str] = {
    "choice": " Please provide only the single option letter (e.g., A, B, C, D, etc.) "
    "within the <answer> </answer> tags.",
    "numerical": " Please provide the numerical value (e.g., 42 or 3.14) within the <answer> </answer> tags.",
    "regression": " Please provide the numerical value (e.g., 42 or 3.14) within the <answer> </answer> tags.",
    "ocr": " Please transcribe text from the image/video clearly and provide your text answer "
    "within the <answer> </answer> tags.",
    "free": " Please provide your text answer within the <answer> </answer> tags.",
}
# TencentARC/SEED-Bench-R1 grpo.py, the first paper; the spaces at both ends are theirs.
OUTPUT = (
    " Output the thinking process in <think> </think> and final answer in <answer> </answer> tags, "
    "i.e., <think> reasoning process here </think><answer> answer here </answer>. "
)
# longvideobench/LongVideoBench, longvideobench_dataset.py at fc3c553.
DIRECTLY = "Answer with the option's letter from the given choices directly."
# TencentARC/Video-Holmes, evaluate.py at 52ef8da.
HOLMES = (
    "Based on the given video, reason and answer the single-choice question. Provide your reasoning between the <think> and "
    "</think> tags, and then give your final answer between the <answer> and </answer> tags. "
    "The question is: {question}. The options are: {options}. Your answer:"
)
# daniel-cores/tvbench, infer.ipynb at c354322, without the start of an answer with which its prompt ends.
CAREFULLY = (
    "Carefully watch the video and pay attention to the cause and sequence of events, the detail and movement of objects, "
    "and the action and pose of persons. Based on your observations, select the best option that accurately addresses the "
    "question.\n"
)
# qiulu66/EgoPlan-Bench2, eval.py at 2523b38.
SELECT = (
    "\nSelect the best answer to the following multiple-choice question based on the video. "
    "Respond with only the letter (A, B, C, or D) of the correct option.\n\n"
)
# Ours.
PLAIN = "Think between <think> and </think>, then give {what} between <answer> and </answer>."
PLAIN_WHAT: Mapping[Kind, str] = {
    "choice": "only the letter of the right option",
    "numerical": "only the number",
    "regression": "only the number",
    "ocr": "only the text that you read",
    "free": "a short answer",
}


def messages(example: Example, template: str) -> tuple[Message, ...]:
    """Return the chat that asks the question: the user's media, then the text; a ready-made chat is returned unchanged."""
    if example.messages:
        return example.messages
    return (Message("user", (*example.media, text(example, template))),)


def text(example: Example, template: str) -> str:
    """Return the text of the question in a template. Raises ValueError if the template does not support its kind."""
    if template not in TEMPLATES:
        raise ValueError(f"template: expected one of {', '.join(TEMPLATES)}, found {template!r}")
    if example.kind == "choice" and not 1 <= len(example.choices) <= 26:
        raise _cannot(example, template, "a choice among 1 to 26 options", f"{len(example.choices)} options")
    if template not in EVERY_KIND and example.kind != "choice":
        raise _cannot(example, template, "kind choice", f"kind {example.kind}")
    return TEMPLATES[template](example)


def _cannot(example: Example, template: str, expected: str, found: str) -> ValueError:
    where = f"template {template} (example {example.id})"
    return ValueError(f"{where}: expected {expected}, found {found}; choose another template")


def _options(example: Example, form: str = "{}. {}\n", between: str = "") -> str:
    """Return the options, each formatted from its letter and its text; empty if the example has no options."""
    return between.join(form.format(letter_at(index), choice) for index, choice in enumerate(example.choices))


def _asked(example: Example) -> str:
    """Return the question of Video-R1 and CARE, in which no newline separates the question from "Options:"."""
    return f"{example.question}Options:\n{_options(example)}" if example.kind == "choice" else example.question


def _care(example: Example) -> str:
    return f"{_asked(example)}\n{THINK}{SUFFIX[example.kind]}"


def _tvbench(example: Example) -> str:
    options = _options(example, "\n({}) {}")
    return f"{CAREFULLY}Question: {example.question}\nOptions:{options}\nOnly give the best option."


def _plain(example: Example) -> str:
    options = _options(example) if example.kind == "choice" else ""
    return f"{example.question}\n{options}{PLAIN.format(what=PLAIN_WHAT[example.kind])}"


def _none(example: Example) -> str:
    raise _cannot(example, "none", "a ready-made chat", "an example without messages")


TEMPLATES: Mapping[str, Callable[[Example], str]] = {
    "care": _care,
    "care_eval": lambda example: f"{_asked(example)}\n{THINK_EVAL}{SUFFIX[example.kind]}",
    "seed_bench_r1": lambda example: f"{example.question}\n{_options(example)}{OUTPUT}",
    "video_r1": _care,  # CARE took it from Video-R1 unchanged
    "longvideobench": lambda example: f"Question: {example.question}\n{_options(example)}{DIRECTLY}",
    "video_holmes": lambda example: HOLMES.format(
        question=example.question, options=_options(example, "{}: {}", between=", ")
    ),
    "tvbench": _tvbench,
    "egoplan_bench2": lambda example: f"{SELECT}{example.question}\n\n{_options(example)}",
    "plain": _plain,
    # ProcBench's own; the space before a letter makes it the token that it is in an answer
    "toy": lambda example: example.question + _options(example, "\n {} {}"),
    "none": _none,
}
EVERY_KIND = ("care", "care_eval", "video_r1", "plain", "none")  # the others support multiple choice only
