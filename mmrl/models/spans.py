"""Finds the tokens of a completion that hold given characters of its text."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

Span = tuple[int, int]  # characters [start, end)


def span_mask(
    tokens: Sequence[int], decode: Callable[[Sequence[int]], str], span: Span | None, width: int
) -> Bool[Tensor, " t"]:
    """Marks which of ``width`` tokens hold a character of the span of the decoded text.

    A token that also holds characters outside is marked, too: in Qwen's vocabulary ``>B`` is one token. The search is a bisection
    over decoded prefixes, because tokens of a byte-level vocabulary need not be whole characters; a character belongs to the token
    that completes it.
    """
    mask = torch.zeros(width, dtype=torch.bool)
    if span is None or span[0] >= span[1]:
        return mask
    text = decode(tokens)

    def reach(count: int) -> int:  # characters that the first tokens settle
        return common_prefix(decode(tokens[:count]), text)

    counts = range(1, len(tokens) + 1)
    first = bisect_left(counts, span[0] + 1, key=reach)
    last = bisect_left(counts, span[1], key=reach)
    mask[first : last + 1] = True
    return mask


def common_prefix(one: str, other: str) -> int:
    """Counts the characters that two strings share from the start."""
    if other.startswith(one):
        return len(one)
    return next(i for i, (a, b) in enumerate(zip(one + "\0", other + "\1", strict=False)) if a != b)
