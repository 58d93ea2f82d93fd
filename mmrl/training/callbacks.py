"""Callbacks: the methods of a user's object that a run calls while it trains."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmrl.training.loop import Run


class Callback:
    """The run calls these methods as it trains. Inherit from it and define those that you need; here they do nothing.

    With several processes it is called in the process of rank 0 alone, while the others go on to their next exchange: so it
    must not call anything that all ranks have to call together. It may end the run with ``run.stop()``. The global
    random states are restored after each call: a run is the same with and without it. An error that it raises ends the run, and a
    note on the error names the callback; with one process a checkpoint is written first.
    """

    def on_step(self, run: "Run", step: int, metrics: Mapping[str, float]) -> None:
        """After each step. ``step`` counts from 1; ``metrics`` is the line of metrics.jsonl, of all ranks together."""

    def on_checkpoint(self, run: "Run", directory: Path) -> None:
        """After a complete checkpoint, a Hugging Face directory. It is deleted when ``save_total_limit`` newer ones are there."""

    def on_validation(self, run: "Run", step: int, metrics: Mapping[str, float]) -> None:
        """After a validation, before ``on_step`` of the same step. ``metrics`` holds validation/SET/METRIC, fractions from 0 to 1."""

    def on_end(self, run: "Run") -> None:
        """After the last step of ``run.fit()`` and its checkpoint, also if ``run.stop()`` made it the last; not after an error."""


def check_callbacks(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    """Return callbacks as a tuple. Raises TypeError for one callback without a list, for a class, and for any other object."""
    if isinstance(callbacks, Callback):
        raise TypeError(f"callbacks: expected a list, found one {type(callbacks).__name__}; write [...] around it")
    for each in callbacks:
        if not isinstance(each, Callback):
            found = f"the class {each.__name__}; write {each.__name__}()" if isinstance(each, type) else repr(each)
            raise TypeError(f"callbacks: expected objects of classes that inherit from mmrl.Callback, found {found}")
    return tuple(callbacks)


@contextmanager
def named(callback: Callback, method: str, step: int) -> Iterator[None]:
    """Add to an error which callback raised it."""
    try:
        yield
    except BaseException as error:  # passes through, whatever it is
        error.add_note(f"raised by {type(callback).__name__}.{method}, a callback of this run, after step {step}")
        raise


def tell(callbacks: Sequence[Callback], run: "Run", method: str, *facts: object) -> None:
    """Call one method of each callback, in order."""
    for callback in callbacks:
        with named(callback, method, run.trainer.step_done):
            getattr(callback, method)(run, *facts)
