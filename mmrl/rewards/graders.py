"""The graders that come with mmrl. A grader is a plain callable: grader(completion, **fields) -> a finite number.

The fields are those of the example's row in the file, overridden by id, question, answer, kind and choices. Accept the ones you
need by name and the rest with **fields. Your own graders may have other forms: `mmrl.rewards.grader_forms`.
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

Grader = Callable[..., Any]  # it returns a number, or the result of another form


def accuracy(completion: str, *, kind: str, answer: str, **_: object) -> float:
    """Return the accuracy reward: the graded block's exact content against the gold, by the published rule of its kind.

    Departure from Video-R1 and GRPO-CARE: they use the first answer block of the completion, this grader uses the last one
    after the reasoning. The rules of the kinds are theirs, quirks included (`mmrl.rewards.answer_scores`).
    """
    given = parse(completion).answer
    return 0.0 if given is None else scores.PUBLISHED[kind](given, answer)


def lenient(completion: str, *, kind: str, answer: str, choices: Sequence[str] = (), **_: object) -> float:
    """Score the answer that `extract` finds, in whatever form it is written, by the rule of its kind.

    Numbers are compared by `same_number` (1,000 = 1000.0); regression, OCR and free text are scored as in `accuracy`.
    """
    given = extract(completion, kind, choices).answer
    if given is None:
        return 0.0
    return scores.same_number(given, answer) if kind == "numerical" else scores.PUBLISHED[kind](given, answer)


def official(completion: str, *, kind: str, answer: str, **_: object) -> float:
    """Score by GRPO-CARE's and Video-R1's evaluation script: the first block, else the whole output; regression by their MRA.

    As in the script, free text and OCR score 0.
    """
    rules = {
        "choice": scores.same_text,
        "numerical": scores.numerical,
        "regression": scores.mean_relative_accuracy_video_r1,
    }
    return rules[kind](first_block(completion), answer) if kind in rules else 0.0


def mra(completion: str, *, answer: str, **_: object) -> float:
    """Return VSI-Bench's mean relative accuracy of the number in the graded block."""
    given = parse(completion).answer
    return 0.0 if given is None else scores.mean_relative_accuracy(given, answer)


def well_formed(completion: str, **_: object) -> float:
    """Return the format reward: 1 if the full completion is a think block, optional whitespace, an answer block; else 0."""
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
    """Raise ValueError for a gold that no answer can match, so that it is found before training and does not give 0."""
    gold, where = example.answer, f"example {example.id}: answer"
    if gold is None or not gold.strip():
        raise ValueError(f"{where}: expected a gold for kind {example.kind!r}, found {gold!r}")
    if example.kind == "choice" and example.choices and gold.strip() not in tuple(letters_of(example.choices)):
        raise ValueError(f"{where}: expected one letter of {letters_of(example.choices)}, found {gold!r}")
    if example.kind in ("numerical", "regression") and scores.finite_number(gold) is None:
        raise ValueError(f"{where}: expected a finite number for kind {example.kind!r}, found {gold!r}")


def trace(text: str, example: Example) -> dict[str, object]:
    """Return the trace of an extraction for an evaluation's record: strict answer, format, and the rule that decided.

    The rule is "unparsed" if no answer was found and "ambiguous" if several were found. For a choice, "concluded" is the
    letter that the reasoning concludes by `consistency_rule`; a choice without options is extracted by the strict mode.
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
