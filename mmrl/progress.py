"""Progress, rate and remaining time of anything long: a live bar on a terminal, a line now and then elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY = 10.0  # seconds between lines where there is no terminal

console = Console(soft_wrap=True)


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
def progress(title: str, total: int, start: int = 0, quiet: bool = False) -> Iterator:
    """A function of (done, note) that shows how far things are."""
    if quiet:
        yield lambda done, note="": None
    elif not sys.stdout.isatty():
        yield Lines(title, total, start)
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
        )
        with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}")) as bar:
            task = bar.add_task(title, total=total, completed=start, note="", rate="")
            began = monotonic()

            def show(done: int, note: str = "") -> None:
                rate = (done - start) / max(monotonic() - began, 1e-9)
                bar.update(
                    task,
                    completed=done,
                    note=note,
                    rate=f"{rate:.1f}/s" if rate >= 1 else f"{1 / max(rate, 1e-9):.1f} s each",
                )

            yield show
