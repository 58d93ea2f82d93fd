"""Progress, rate and remaining time of anything long: a live bar on a terminal, a line now and then elsewhere."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_EVERY = 10.0  # seconds between lines where there is no terminal

console = Console(soft_wrap=True)
Show = Callable[..., None]  # of (done, note=""): how far things are, and a few words


@dataclass
class Lines:
    """Progress for logs: what, done of total, rate, seconds left."""

    title: str
    total: int
    start: int = 0
    began: float = field(default_factory=monotonic)
    printed: float = field(default_factory=monotonic)
    done: int = 0

    def __call__(self, done: int, note: str = "") -> None:
        self.done = done
        now = monotonic()
        if now - self.printed >= LINE_EVERY or done >= self.total:
            self.printed = now
            print(self.line(now, note), flush=True)

    def line(self, now: float, note: str) -> str:
        """One line of the log."""
        seconds = now - self.began
        rate = (self.done - self.start) / seconds if seconds > 0 else 0.0
        left = (self.total - self.done) / rate if rate > 0 else float("inf")
        speed = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each" if rate > 0 else "-"
        return f"{self.title}  {self.done}/{self.total}  {speed}  {left:.0f} s left  {note}".rstrip()


@contextmanager
def progress(title: str, total: int, start: int = 0, quiet: bool = False) -> Iterator[Show]:
    """A function of (done, note) that shows how far things are."""
    if quiet:
        yield lambda done, note="": None
    else:
        with side_by_side({title: total}, start) as (show,):
            yield show


@contextmanager
def side_by_side(totals: Mapping[str, int], start: int = 0) -> Iterator[list[Show]]:
    """The same for things that go on at the same time: a function for each title, in order."""
    if not sys.stdout.isatty():
        yield [Lines(title, total, start) for title, total in totals.items()]
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}")) as bars:
        yield [
            partial(advance, bars, add(bars, title, total, start), start, monotonic())
            for title, total in totals.items()
        ]


def add(bars: Progress, title: str, total: int, start: int) -> TaskID:
    """One more bar."""
    return bars.add_task(title, total=total, completed=start, note="", rate="")


def advance(bars: Progress, task: TaskID, start: int, began: float, done: int, note: str = "") -> None:
    """Move a bar."""
    rate = (done - start) / max(monotonic() - began, 1e-9)
    text = f"{rate:.1f}/s" if rate >= 1 else f"{1 / max(rate, 1e-9):.1f} s each"
    bars.update(task, completed=done, note=note, rate=text)
