"""Parse a completion: its reasoning, the answer that counts, and the position of that answer.

Everything here takes time linear in the text, for any text: with a regular expression that backtracks, one completion could
stop a run.
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
    """A completion, split by its tags."""

    reasoning: str | None  # from the first <think> (or the start, if the prompt opened it) to the last </think>
    answer: str | None  # the stripped content of the graded block
    span: tuple[int, int] | None  # the graded block's characters [start, end) between the tags, not stripped
    contents: tuple[str, ...]  # the stripped contents of the answer blocks after the reasoning; the last one is graded
    multiple: bool  # True if these contents differ
    format_ok: bool  # True if the full completion is a think block, optional whitespace, an answer block


def parse(text: str) -> Parsed:
    """Split a completion by its tags. The graded block is the last <answer>..</answer> after the last </think>, or in the
    full text if there is no </think>.

    Departure from GRPO-CARE: its reward uses the first block and its confidence mask the last tag; here both use the same
    block. `first_block` returns the block of its reward.
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
    """Return the stripped first answer block, as in GRPO-CARE's evaluation; the full output if there is none.

    Its expression is <answer>(.*?)</answer> with a dot that matches newlines: a tag within the block belongs to it.
    """
    start = text.find(ANSWER)
    end = -1 if start < 0 else text.find(ANSWER_END, start)
    return text.strip() if end < 0 else text[start + len(ANSWER) : end].strip()


def blocks(text: str, start: int = 0) -> Iterator[tuple[int, int]]:
    """Yield the spans of the well-formed answer blocks from left to right; after two opening tags, the inner one counts."""
    for end in CLOSED.finditer(text, start):
        tag = text.rfind(ANSWER, start, end.start())
        if tag >= 0:
            yield tag + len(ANSWER), end.start()
        start = end.end()


def leaves_think_open(text: str) -> bool:
    """Return True if a text, the end of a prompt, leaves a think block open; then no completion has the full format."""
    return text.rfind(THINK) > text.rfind(THINK_END)


def format_ok(text: str) -> bool:
    r"""Return True for a full match of GRPO-CARE's format, <think>.*?</think>\s*<answer>.*?</answer>, without backtracking."""
    whole = text.startswith(THINK) and text.endswith(ANSWER_END)
    return whole and TURN.search(text, len(THINK), len(text) - len(ANSWER_END)) is not None
