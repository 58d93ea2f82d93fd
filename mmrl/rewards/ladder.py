"""The one way from a completion to an answer, with a trace of how it was found.

What models write around an answer differs by model, and a strict scorer measures that. The lenient ladder gives every
model the same chance, and never guesses: no random letter, no case-folded "a" in a sentence, no "A person", no "Based on"
(traps found in other harnesses). What no rung can read is "unparsed", what names several answers or doubts its own is
"ambiguous"; both are wrong. Three modes:

- strict: the content of the graded block as it stands (`mmrl.rewards.parse`), what training rewards
- official: GRPO-CARE's and Video-R1's script: the first block, else the whole output
- lenient: the rungs, the first that finds an answer. Of a choice:
  - exact, wrapped, lower case, text, letter and text: the graded block is a letter, a letter in brackets or behind
    "Option", a bare "b", an option's text, or letter and text (and they agree)
  - boxed, unclosed, whole: the same for the last \\boxed{}, for a block that was opened and never closed, and for all
    that follows the reasoning where there is no block
  - phrase, alone, line: "the answer is B" in the last sentence; the last sentence closes with the letter alone; a line
    that is nothing but "Answer: B", before an explanation
  Of a number: quantity, words, last number within the graded block; boxed, unclosed, whole, phrase without one. Of free
  text: the graded block, an unclosed one, else all that follows the reasoning.

Everything takes time linear in the text, and of a long text only the end is searched for sentences.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from mmrl.rewards.extraction import UNPARSED, Extraction, first
from mmrl.rewards.mentions import letters
from mmrl.rewards.options import alone, block, declared, introduced, line, phrase
from mmrl.rewards.parse import Parsed, parse
from mmrl.rewards.parse import official as first_block
from mmrl.rewards.quantities import exact_number, number_phrase, quantity
from mmrl.rewards.regions import Span, after_reasoning, behind_reasoning, last_box, opened
from mmrl.types import Kind

__all__ = ["Extraction", "Mode", "after_reasoning", "extract", "letter"]

Mode = Literal["strict", "official", "lenient"]


def extract(text: str, kind: Kind = "choice", choices: Sequence[str] = (), mode: Mode = "lenient") -> Extraction:
    """The answer of a completion, and how it was found.

    choices: the options' texts without letters, in the order shown; needed to read a choice leniently. The answer of a
    number is written plainly ("1200" for "1,200 m"); of a choice it is a letter in range. Raises ValueError for an unknown
    mode and for other than 1 to 26 choices.
    """
    parsed = parse(text)
    match mode:
        case "strict":
            return strict(text, parsed)
        case "official":
            return official(text)
        case "lenient":
            found = lenient(text, parsed, kind, choices)
            return replace(found, multiple=parsed.multiple, alternatives=also(found, parsed, kind, choices))
    raise ValueError(f"extract: expected mode strict, official or lenient, found {mode!r}")


def letter(text: str, choices: Sequence[str]) -> tuple[str | None, str]:
    """The chosen letter, read leniently, and the rung that found it; None with "ambiguous" or "unparsed"."""
    found = extract(text, "choice", choices)
    return found.answer, found.rung


def strict(text: str, parsed: Parsed) -> Extraction:
    """The graded block's stripped content, whatever it says."""
    if parsed.span is None:
        return UNPARSED
    others = other_blocks(parsed)
    return Extraction(parsed.answer, "tags", stripped(text, parsed.span), others, parsed.multiple)


def official(text: str) -> Extraction:
    """What the anchors' script compares with the gold."""
    content = first_block(text)
    whole = content == text.strip()
    start = text.find(content) if whole else text.find(content, text.find("<answer>"))
    return Extraction(content, "whole output" if whole else "first block", (start, start + len(content)))


def lenient(text: str, parsed: Parsed, kind: Kind, choices: Sequence[str]) -> Extraction:
    """The first rung that finds an answer of this kind."""
    if kind == "choice":
        if not 1 <= len(choices) <= 26:
            raise ValueError(f"extract: expected the texts of 1 to 26 choices, found {len(choices)}")
        return choice(text, parsed.span, choices)
    return number(text, parsed.span) if kind in ("numerical", "regression") else words(text, parsed.span)


def choice(text: str, graded: Span | None, choices: Sequence[str]) -> Extraction:
    """The rungs of a choice."""
    if graded is not None:
        return first(block(text, graded, choices), boxed(text, graded, choices), phrase(text, graded, choices))
    region = behind_reasoning(text)
    cut = opened(text, region)
    if cut is not None:
        return declared(block(text, cut, choices)).credited("unclosed")
    whole = declared(block(text, region, choices)).credited("whole")
    return first(
        boxed(text, region, choices),
        whole,
        phrase(text, region, choices),
        introduced(text, region, choices),
        alone(text, region, choices),
        line(text, region, choices),
    )


def boxed(text: str, region: Span, choices: Sequence[str]) -> Extraction:
    r"""An option in the last \boxed{} of a region."""
    box = last_box(text, region)
    return UNPARSED if box is None else block(text, box, choices).credited("boxed")


def number(text: str, graded: Span | None) -> Extraction:
    """The rungs of a number."""
    region = graded if graded is not None else behind_reasoning(text)
    box = last_box(text, region)
    in_box = UNPARSED if box is None else quantity(text, box).credited("boxed")
    if graded is not None:
        return first(in_box, quantity(text, graded))
    cut = opened(text, region)
    if cut is not None:
        return exact_number(text, cut).credited("unclosed")
    return first(in_box, exact_number(text, region).credited("whole"), number_phrase(text, region))


def words(text: str, graded: Span | None) -> Extraction:
    """The rungs of free text; nothing at all is unparsed."""
    region = graded if graded is not None else behind_reasoning(text)
    cut = None if graded is not None else opened(text, region)
    span = stripped(text, cut or region)
    if span[0] == span[1]:
        return UNPARSED
    return Extraction(text[slice(*span)], "tags" if graded is not None else "unclosed" if cut else "whole", span)


def also(found: Extraction, parsed: Parsed, kind: Kind, choices: Sequence[str]) -> tuple[str, ...]:
    """What else is named where the answer was found, or in other blocks."""
    others = other_blocks(parsed) if parsed.multiple else ()
    if kind == "choice":
        others = tuple(name for name in others if name in letters(choices))
    return tuple(sorted({*found.alternatives, *others} - {found.answer}))


def other_blocks(parsed: Parsed) -> tuple[str, ...]:
    """Contents of the answer blocks that differ from the graded one."""
    return tuple(sorted(set(parsed.contents) - {parsed.answer}))


def stripped(text: str, span: Span) -> Span:
    """The span without the spaces at its ends."""
    content = text[slice(*span)]
    start = span[0] + len(content) - len(content.lstrip())
    return start, start + len(content.strip())
