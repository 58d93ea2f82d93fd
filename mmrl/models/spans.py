"""Find the tokens of a completion that hold given characters of its text."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import takewhile

import torch
from jaxtyping import Bool
from torch import Tensor

Span = tuple[int, int]  # characters [start, end)


def span_mask(
    tokens: Sequence[int], decode: Callable[[Sequence[int]], str], span: Span | None, width: int
) -> Bool[Tensor, " t"]:
    """Return a mask over ``width`` tokens: True for those that hold a character of the span of the decoded text.

    A token that also holds characters outside the span is marked too: in Qwen's vocabulary ``>B`` is one token. The search
    bisects over decoded prefixes, because tokens of a byte-level vocabulary may hold parts of characters; a character belongs to
    the token that completes it.
    """
    mask = torch.zeros(width, dtype=torch.bool)
    if span is None or span[0] >= span[1]:
        return mask
    text = decode(tokens)

    def reach(count: int) -> int:  # the number of characters that the first tokens complete
        pairs = zip(decode(tokens[:count]), text, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    counts = range(1, len(tokens) + 1)
    first = bisect_left(counts, span[0] + 1, key=reach)
    last = bisect_left(counts, span[1], key=reach)
    mask[first : last + 1] = True
    return mask
