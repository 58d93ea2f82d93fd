"""Find the regions of a completion that may hold an answer: after the reasoning, an unclosed block, the last box or line."""

import re

from mmrl.rewards.parse import ANSWER, THINK, THINK_END
from mmrl.rewards.plain_text import PlainText, plain_text

Span = tuple[int, int]

SHORT = 1000  # characters: a longer text is no answer, and only the end of a longer sentence is searched
BOXED = "\\boxed"
STOP = re.compile(r"(?<=[.!?]) |(?<=[。！？]) ?")


def behind_reasoning(text: str) -> Span:
    """Return the span after the last </think>; without one, all of the text.

    If <think> is never closed, the span starts at the first <answer>, and is empty without one.
    """
    end = text.rfind(THINK_END)
    if end >= 0:
        return end + len(THINK_END), len(text)
    start = text.find(ANSWER) if THINK in text else 0
    return (len(text) if start < 0 else start), len(text)


def after_reasoning(text: str) -> str:
    """Return the text of `behind_reasoning`."""
    return text[slice(*behind_reasoning(text))]


def unclosed_block(text: str, region: Span) -> Span | None:
    """Return the span after the last <answer> of the region; None without one."""
    tag = text.rfind(ANSWER, *region)
    return None if tag < 0 else (tag + len(ANSWER), region[1])


def last_box(text: str, region: Span) -> Span | None:
    r"""Return the span inside the last \boxed{..} of the region: up to its closing brace or, without one, SHORT characters."""
    at = text.rfind(BOXED, *region)
    start = text.find("{", at, at + len(BOXED) + 3) + 1 if at >= 0 else 0
    if not start or text[at + len(BOXED) : start - 1].strip():
        return None
    depth, limit = 1, min(region[1], start + SHORT)
    for place in range(start, limit):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return start, place
    return start, limit


def stripped(text: str, region: Span) -> Span:
    """Return the region without the spaces at its ends."""
    content = text[slice(*region)]
    start = region[0] + len(content) - len(content.lstrip())
    return start, start + len(content.strip())


def last_line_of(text: str, region: Span) -> Span:
    """Return the last line of the region that is not empty."""
    end = region[0] + len(text[slice(*region)].rstrip())
    return max(region[0], text.rfind("\n", region[0], end) + 1), end


def last_line(text: str, region: Span) -> PlainText:
    """Return the last SHORT characters of the region's last line that is not empty, as plain text."""
    return plain_text(text, *last_line_of(text, region)).end(SHORT)


def sentence_starts(line: str) -> list[int]:
    """Return the indices at which the sentences of a line start, in order; a stop at its end starts no sentence."""
    return [0, *(match.end() for match in STOP.finditer(line) if match.end() < len(line))]
