"""Try again in smaller batches where the GPU's memory does not suffice, and say so."""

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
    """Return ``attempt(limit)``, with half the limit again and again where memory does not suffice.

    With the result come the limit under which it succeeded, and how often that was halved. ``key`` is the limit's name in
    the config; ``undo`` takes back what a failed attempt left.
    Raises torch.OutOfMemoryError where ``limit`` is down to ``least``, which cannot be cut.
    """
    halvings = 0
    while True:
        try:
            return attempt(limit), limit, halvings
        except torch.OutOfMemoryError as error:
            if limit <= least:
                error.add_note(f"{key}={limit} cannot be halved any further; {REMEDY}")
                raise
        undo()  # outside the handler: the error holds on to what the attempt had made
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning("out of memory at %s=%d: the same again with %d", key, limit, limit // 2)
        limit, halvings = limit // 2, halvings + 1
