"""The answer that was extracted from a completion, with the rule that found it."""

from dataclasses import dataclass, replace
from typing import Literal

ExtractionRule = Literal[
    "exact", "wrapped", "lower case", "text", "letter and text", "quantity", "words", "last number",
    "whole", "unclosed", "boxed", "phrase", "alone", "line", "tags", "first block", "whole output", "ambiguous", "unparsed",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Extraction:
    """An answer with its trace. ``answer`` is None exactly if ``rule`` is "ambiguous" or "unparsed"; both are wrong."""

    answer: str | None  # a letter for kind "choice", a plain number for numbers, text for the rest
    rule: ExtractionRule  # the rule that found it
    span: tuple[int, int] | None = None  # the characters [start, end) of the completion that hold the answer
    alternatives: tuple[str, ...] = ()  # other answers that are named there or in other answer blocks
    multiple: bool = False  # True if there are several answer blocks with different contents

    def credited(self, rule: ExtractionRule) -> "Extraction":
        """Return the extraction with another rule, if it has an answer; else return it unchanged."""
        return self if self.answer is None else replace(self, rule=rule)


UNPARSED = Extraction(None, "unparsed")


def ambiguous(candidates: set[str], span: tuple[int, int] | None = None) -> Extraction:
    """Return an extraction without an answer, because there are several candidates or one in doubt."""
    return Extraction(None, "ambiguous", span, tuple(sorted(candidates)))


def first(*found: Extraction) -> Extraction:
    """Return the first extraction with an answer; else the first ambiguous one; else UNPARSED."""
    answers = [each for each in found if each.answer is not None]
    doubts = [each for each in found if each.rule == "ambiguous"]
    return (answers or doubts or [UNPARSED])[0]
