"""Retry with smaller batches if the GPU runs out of memory, with a warning in the log."""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

logger = logging.getLogger(__name__)

REMEDY = "show fewer or smaller frames, shorten completions, set model.gradient_checkpointing, or take a larger GPU"
Result = TypeVar("Result")


def run_with_smaller_batches(
    attempt: Callable[[int], Result], limit: int, least: int, key: str, undo: Callable[[], None] = lambda: None
) -> tuple[Result, int, int]:
    """Call ``attempt(limit)``; halve the limit and call it again as long as the GPU runs out of memory.

    Return the result, the limit with which it succeeded, and the number of halvings. ``key`` is the limit's name in the
    config; ``undo`` removes the effects of a failed attempt. Raises torch.OutOfMemoryError if ``limit`` is at or below
    ``least``, the smallest possible one.
    """
    halvings = 0
    while True:
        try:
            return attempt(limit), limit, halvings
        except torch.OutOfMemoryError as error:
            if limit <= least:
                error.add_note(f"{key}={limit} cannot be halved any further; {REMEDY}")
                raise
        undo()  # outside the handler, because the error refers to the tensors of the attempt
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning("out of memory at %s=%d: the same again with %d", key, limit, limit // 2)
        limit, halvings = limit // 2, halvings + 1
