"""End a run after the current step on Ctrl-C, with a checkpoint."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from mmrl.runtime.console import console


class Stopped(Exception):
    """The run was stopped by Ctrl-C, after it finished its step and wrote a checkpoint."""


@contextmanager
def stop_after_step() -> Iterator[SimpleNamespace]:
    """Yield an object whose ``asked`` the first Ctrl-C (or SIGTERM) sets, so that the loop ends after its step.

    The second one raises KeyboardInterrupt at once.
    """
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
