"""The graders that come with mmrl. A grader is a plain callable: grader(completion, **fields) -> a finite number.

The fields are those of the example's row as read, and id, question, answer, kind and choices, which win. Take those you
need by name and the rest with **fields. Your own may have other forms: `mmrl.rewards.grader_forms`.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mmrl.rewards import answer_scores as scores
from mmrl.rewards.answer_extraction import extract
from mmrl.rewards.benchmark_graders import PUBLISHED_READINGS
from mmrl.rewards.consistency import concludes, consistency, consistency_rule
from mmrl.rewards.parse import first_block, parse
from mmrl.types import Example, letters_of

Grader = Callable[..., Any]  # a number, or what the other forms return


def accuracy(completion: str, *, kind: str, answer: str, **_: object) -> float:
    """Return the reward of training: the graded block's exact content against the gold, by the published rule of its kind.

    Departure from Video-R1 and GRPO-CARE: they read the first answer block of the completion, this reads the last one
    behind the reasoning. Their rules for the kinds are kept, quirks included (`mmrl.rewards.answer_scores`).
    """
    given = parse(completion).answer
    return 0.0 if given is None else scores.PUBLISHED[kind](given, answer)


def lenient(completion: str, *, kind: str, answer: str, choices: Sequence[str] = (), **_: object) -> float:
    """Return whether the answer is right however it is written: what `extract` finds, by the rule of its kind.

    Numbers compare as `same_number` has it (1,000 = 1000.0); regression, OCR and free text are scored as in `accuracy`.
    """
    given = extract(completion, kind, choices).answer
    if given is None:
        return 0.0
    return scores.same_number(given, answer) if kind == "numerical" else scores.PUBLISHED[kind](given, answer)


def official(completion: str, *, kind: str, answer: str, **_: object) -> float:
    """GRPO-CARE's and Video-R1's evaluation script: the first block, else the whole output; regression by their MRA.

    As there, free text and OCR score 0.
    """
    rules = {
        "choice": scores.same_text,
        "numerical": scores.numerical,
        "regression": scores.mean_relative_accuracy_video_r1,
    }
    return rules[kind](first_block(completion), answer) if kind in rules else 0.0


def mra(completion: str, *, answer: str, **_: object) -> float:
    """VSI-Bench's mean relative accuracy of the graded block's number."""
    given = parse(completion).answer
    return 0.0 if given is None else scores.mean_relative_accuracy(given, answer)


def well_formed(completion: str, **_: object) -> float:
    """Return the format reward: 1 if the whole completion is a think block, optional whitespace, an answer block."""
    return float(parse(completion).format_ok)


GRADERS: Mapping[str, Grader] = MappingProxyType(
    {
        "accuracy": accuracy,
        "lenient": lenient,
        "official": official,
        "mra": mra,
        "format": well_formed,
        "consistency": consistency,
        "concludes": concludes,
        **PUBLISHED_READINGS,
    }
)


def check_gold(example: Example) -> None:
    """Raise a ValueError for a gold that no answer can match, so that it is found before training and not as a 0."""
    gold, where = example.answer, f"example {example.id}: answer"
    if gold is None or not gold.strip():
        raise ValueError(f"{where}: expected a gold for kind {example.kind!r}, found {gold!r}")
    if example.kind == "choice" and example.choices and gold.strip() not in tuple(letters_of(example.choices)):
        raise ValueError(f"{where}: expected one letter of {letters_of(example.choices)}, found {gold!r}")
    if example.kind in ("numerical", "regression") and scores.finite_number(gold) is None:
        raise ValueError(f"{where}: expected a finite number for kind {example.kind!r}, found {gold!r}")


def trace(text: str, example: Example) -> dict[str, object]:
    """Return how a text was read, for the record of an evaluation: strict answer, format, and the rule that decided.

    The rule is "unparsed" where no answer was found and "ambiguous" where several were. Of a choice also what the
    reasoning concludes by the rules of `consistency`; where its options are not known it is read strictly.
    """
    parsed = parse(text)
    choice = example.kind == "choice"
    found = extract(text, example.kind, example.choices, "lenient" if example.choices or not choice else "strict")
    concluded = {"concluded": consistency_rule(text, example.choices)} if choice and example.choices else {}
    return concluded | {
        "answer": parsed.answer,
        "format_ok": parsed.format_ok,
        "multiple": found.multiple,
        "extracted": found.answer,
        "rung": found.rule,  # the key of records on disk
        "span": None if found.span is None else list(found.span),
        "alternatives": list(found.alternatives),
    }
