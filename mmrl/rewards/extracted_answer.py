"""The answer that was extracted from a completion, with the rule that found it."""

from dataclasses import dataclass, replace
from typing import Literal

ExtractionRule = Literal[
    "exact", "wrapped", "lower case", "text", "letter and text", "quantity", "words", "last number",
    "whole", "unclosed", "boxed", "phrase", "alone", "line", "tags", "first block", "whole output", "ambiguous", "unparsed",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Extraction:
    """An answer with its trace. answer is None exactly where rule is "ambiguous" or "unparsed"; both are wrong."""

    answer: str | None  # a letter for kind "choice", a plain number for numbers, text for the rest
    rule: ExtractionRule  # the rule that found it
    span: tuple[int, int] | None = None  # the characters [start, end) of the completion that it was read from
    alternatives: tuple[str, ...] = ()  # what else was named there, or stands in other answer blocks
    multiple: bool = False  # several answer blocks that do not all say the same

    def credited(self, rule: ExtractionRule) -> "Extraction":
        """Name another rule as the one that found the answer, if there is an answer."""
        return self if self.answer is None else replace(self, rule=rule)


UNPARSED = Extraction(None, "unparsed")


def ambiguous(candidates: set[str], span: tuple[int, int] | None = None) -> Extraction:
    """Several answers, or one in doubt."""
    return Extraction(None, "ambiguous", span, tuple(sorted(candidates)))


def first(*found: Extraction) -> Extraction:
    """Return the first that holds an answer; else the first that is ambiguous; else unparsed."""
    answers = [one for one in found if one.answer is not None]
    doubts = [one for one in found if one.rule == "ambiguous"]
    return (answers or doubts or [UNPARSED])[0]
