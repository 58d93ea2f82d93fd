"""Ctrl-C ends a run after its step, not in it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from mmrl.runtime.console import console


class Stopped(Exception):
    """Ctrl-C: the step was finished and a checkpoint written."""


@contextmanager
def stop_after_step() -> Iterator[SimpleNamespace]:
    """The first Ctrl-C (or SIGTERM) sets ``asked``, so that the loop ends after its step; the second ends it at once."""
    stop = SimpleNamespace(asked=False)

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
