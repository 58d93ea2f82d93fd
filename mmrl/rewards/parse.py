"""The one parser of completions: where the reasoning is, which answer counts, and where exactly it stands.

Everything here takes time linear in the text, whatever the text is: models write anything, and a regular expression
that backtracks would let one completion stop a run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

THINK, THINK_END = "<think>", "</think>"
ANSWER, ANSWER_END = "<answer>", "</answer>"
CLOSED = re.compile(ANSWER_END)
TURN = re.compile(rf"{THINK_END}\s*{ANSWER}")  # from the reasoning to the answer


@dataclass(frozen=True, slots=True)
class Parsed:
    """A completion parted by its tags."""

    reasoning: str | None  # from the first <think> (or the start, if the prompt opened it) to the last </think>
    answer: str | None  # stripped content of the graded block
    span: tuple[int, int] | None  # its characters [start, end), strictly between the tags, not stripped
    contents: tuple[str, ...]  # of the answer blocks where the graded one is the last, stripped
    multiple: bool  # that is not all the same
    format_ok: bool  # the whole completion is a think block, optional whitespace, an answer block


def parse(text: str) -> Parsed:
    """Read a completion by its tags. The graded block is the last <answer>..</answer> after the last </think> (anywhere if
    there is none).

    Departure from GRPO-CARE, whose reward reads the first block and whose confidence mask reads the last tag: here both
    read the same block. `first_block` keeps their reward's reading.
    """
    thought = text.rfind(THINK_END)
    opened = text.find(THINK, 0, max(0, thought))  # the prompt may have opened it
    spans = list(blocks(text, 0 if thought < 0 else thought + len(THINK_END)))
    contents = tuple(text[start:end].strip() for start, end in spans)
    return Parsed(
        reasoning=None if thought < 0 else text[0 if opened < 0 else opened + len(THINK) : thought],
        answer=contents[-1] if spans else None,
        span=spans[-1] if spans else None,
        contents=contents,
        multiple=len(set(contents)) > 1,
        format_ok=format_ok(text),
    )


def first_block(text: str) -> str:
    """Return the first answer block, stripped, as GRPO-CARE's evaluation reads it; the whole output where there is none.

    Their expression is <answer>(.*?)</answer> with a dot that matches newlines: a tag within the block belongs to it.
    """
    start = text.find(ANSWER)
    end = -1 if start < 0 else text.find(ANSWER_END, start)
    return text.strip() if end < 0 else text[start + len(ANSWER) : end].strip()


def blocks(text: str, start: int = 0) -> Iterator[tuple[int, int]]:
    """Contents of the well-formed answer blocks from left to right; of two opening tags the inner one counts."""
    for end in CLOSED.finditer(text, start):
        tag = text.rfind(ANSWER, start, end.start())
        if tag >= 0:
            yield tag + len(ANSWER), end.start()
        start = end.end()


def leaves_think_open(text: str) -> bool:
    """Return whether a text, the prompt's end, leaves a think block open: then no completion is a whole one."""
    return text.rfind(THINK) > text.rfind(THINK_END)


def format_ok(text: str) -> bool:
    r"""GRPO-CARE's format reward: a full match of <think>.*?</think>\s*<answer>.*?</answer>, without backtracking."""
    whole = text.startswith(THINK) and text.endswith(ANSWER_END)
    return whole and TURN.search(text, len(THINK), len(text) - len(ANSWER_END)) is not None
