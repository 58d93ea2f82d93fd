"""Ctrl-C ends a run after its step, not in it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mmrl.runtime.console import console


class Stopped(Exception):
    """Ctrl-C: the step was finished and a checkpoint written."""


@dataclass
class Stop:
    """Whether somebody asked to stop."""

    asked: bool = False


@contextmanager
def stopping() -> Iterator[Stop]:
    """The first Ctrl-C (or SIGTERM) asks the loop to end after its step; the second ends it at once."""
    stop = Stop()

    def ask(_number: int, _frame: Any) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        console.print("Stopping after this step, with a checkpoint. Once more to stop at once.")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
