"""Extract the answer of a completion, with a trace of the rule that found it.

Models write different text around an answer, and a strict scorer measures that. The lenient mode gives every model the same
chance and never guesses: no random letter, no case-folded "a" in a sentence, no "A person", no "Based on" (mistakes found in
other harnesses). A text in which no rule finds an answer is "unparsed"; a text that names several answers or doubts its own
is "ambiguous"; both are wrong. There are three modes:

- strict: the exact content of the graded block (`mmrl.rewards.parse`), which training rewards
- official: GRPO-CARE's and Video-R1's script: the first block, else the whole output
- lenient: the first rule that finds an answer. The rules of a choice:
  - exact, wrapped, lower case, text, letter and text: the graded block is a letter, a letter in brackets or behind
    "Option", a bare "b", an option's text, or letter and text (and they agree)
  - boxed, unclosed, whole: the same for the last \\boxed{}, for a block that was opened and never closed, and for all
    that follows the reasoning where there is no block
  - phrase, alone, line: "the answer is B" in the last sentence; the last sentence closes with the letter alone; a line
    that is nothing but "Answer: B", before an explanation
  The rules of a number: quantity, words, last number within the graded block; boxed, unclosed, whole, phrase without one.
  The rules of free text: the graded block, an unclosed one, else all that follows the reasoning.

Everything takes time linear in the text, and only the end of a long text is searched for sentences.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from mmrl.rewards.answer_regions import Span, behind_reasoning, last_box, stripped, unclosed_block
from mmrl.rewards.extracted_answer import UNPARSED, Extraction, ExtractionRule, first
from mmrl.rewards.number_rules import exact_number, number_phrase, quantity
from mmrl.rewards.option_rules import answer_line, answer_phrase, closing_letter, declared, introduced_line, whole_block
from mmrl.rewards.parse import ANSWER, Parsed, first_block, parse
from mmrl.types import Kind, letters_of

Mode = Literal["strict", "official", "lenient"]


def extract(text: str, kind: Kind = "choice", choices: Sequence[str] = (), mode: Mode = "lenient") -> Extraction:
    """Return the answer of a completion, with the rule that found it.

    choices: the options' texts without letters, in the order shown; the lenient mode needs them for a choice. The answer is
    a plain number for numbers ("1200" for "1,200 m"), and a letter in range for a choice. Raises ValueError for an unknown
    mode, and unless there are 1 to 26 choices.
    """
    parsed = parse(text)
    match mode:
        case "strict":
            return extract_strictly(text, parsed)
        case "official":
            return extract_officially(text)
        case "lenient":
            found = extract_leniently(text, parsed.span, kind, choices)
            return replace(found, multiple=parsed.multiple, alternatives=alternatives_to(found, parsed, kind, choices))
    raise ValueError(f"extract: expected mode strict, official or lenient, found {mode!r}")


def chosen_letter(text: str, choices: Sequence[str]) -> tuple[str | None, str]:
    """Return the chosen letter by the lenient mode, and the rule that found it; None with "ambiguous" or "unparsed"."""
    found = extract(text, "choice", choices)
    return found.answer, found.rule


def extract_strictly(text: str, parsed: Parsed) -> Extraction:
    """Return the graded block's stripped content, without any interpretation."""
    if parsed.span is None:
        return UNPARSED
    others = other_blocks(parsed)
    return Extraction(parsed.answer, "tags", stripped(text, parsed.span), others, parsed.multiple)


def extract_officially(text: str) -> Extraction:
    """Return the text that GRPO-CARE's and Video-R1's script compares with the gold."""
    content = first_block(text)
    whole = content == text.strip()
    start = text.find(content) if whole else text.find(content, text.find(ANSWER))
    return Extraction(content, "whole output" if whole else "first block", (start, start + len(content)))


def extract_leniently(text: str, graded: Span | None, kind: Kind, choices: Sequence[str]) -> Extraction:
    """Apply the rules of this kind to the graded block, to an unclosed one, or to everything after the reasoning."""
    region = graded or behind_reasoning(text)
    cut = None if graded else unclosed_block(text, region)
    where = "tags" if graded else "unclosed" if cut else "whole"
    if kind == "choice":
        if not 1 <= len(choices) <= 26:
            raise ValueError(f"extract: expected the texts of 1 to 26 choices, found {len(choices)}")
        return extract_choice(text, cut or region, where, choices)
    if kind in ("numerical", "regression"):
        return extract_number(text, cut or region, where)
    start, end = stripped(text, cut or region)
    return Extraction(text[start:end], where, (start, end)) if start < end else UNPARSED


def extract_choice(text: str, region: Span, where: ExtractionRule, choices: Sequence[str]) -> Extraction:
    """Apply the rules of a choice; the first rule that finds an answer decides."""
    whole = whole_block(text, region, choices)
    if where == "unclosed":
        return declared(whole).credited(where)
    in_box, phrase = boxed(text, region, whole_block, choices), answer_phrase(text, region, choices)
    if where == "tags":
        return first(whole, in_box, phrase)
    further = (rule(text, region, choices) for rule in (introduced_line, closing_letter, answer_line))
    return first(in_box, declared(whole).credited(where), phrase, *further)


def extract_number(text: str, region: Span, where: ExtractionRule) -> Extraction:
    """Apply the rules of a number; the first rule that finds an answer decides."""
    if where == "unclosed":
        return exact_number(text, region).credited(where)
    in_box = boxed(text, region, quantity)
    if where == "tags":
        return first(in_box, quantity(text, region))
    return first(in_box, exact_number(text, region).credited(where), number_phrase(text, region))


def boxed(text: str, region: Span, read: Callable[..., Extraction], *choices: Sequence[str]) -> Extraction:
    r"""Apply a rule to the content of the last \boxed{} of a region."""
    box = last_box(text, region)
    return UNPARSED if box is None else read(text, box, *choices).credited("boxed")


def alternatives_to(found: Extraction, parsed: Parsed, kind: Kind, choices: Sequence[str]) -> tuple[str, ...]:
    """Return the other answers that are named beside the one found, or in other blocks."""
    others = other_blocks(parsed) if parsed.multiple else ()
    if kind == "choice":
        others = tuple(name for name in others if name in letters_of(choices))
    return tuple(sorted({*found.alternatives, *others} - {found.answer}))


def other_blocks(parsed: Parsed) -> tuple[str, ...]:
    """Return the contents of the answer blocks that differ from the graded one."""
    return tuple(sorted(set(parsed.contents) - {parsed.answer}))
