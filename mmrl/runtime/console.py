"""Progress, rate and remaining time of long work, as a live bar on a terminal or as lines in a log; and warnings."""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY = 10.0  # seconds between two lines if there is no terminal

console = Console(soft_wrap=True)
Show = Callable[..., None]  # called with (done, note=""): the number of items done, and a few words


def speed(rate: float) -> str:
    """Return a rate per second in words."""
    return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each" if rate > 0 else "-"


def lines(title: str, total: int, start: int) -> Show:
    """Return a function that prints a progress line every ``LINE_EVERY`` seconds: title, done of total, rate, seconds left."""
    began = printed = monotonic()

    def show(done: int, note: str = "") -> None:
        nonlocal printed
        now = monotonic()
        if now - printed < LINE_EVERY and done < total:
            return
        printed = now
        rate = (done - start) / (now - began) if now > began else 0.0
        left = (total - done) / rate if rate > 0 else float("inf")
        print(f"{title}  {done}/{total}  {speed(rate)}  {left:.0f} s left  {note}".rstrip(), flush=True)

    return show


def bar(bars: Progress, title: str, total: int, start: int) -> Show:
    """Add a bar to ``bars`` and return the function that updates it."""
    task, began = bars.add_task(title, total=total, completed=start, note="", rate=""), monotonic()

    def show(done: int, note: str = "") -> None:
        rate = (done - start) / max(monotonic() - began, 1e-9)
        bars.update(task, completed=done, note=note, rate=speed(rate))

    return show


@contextmanager
def progress(title: str, total: int, start: int = 0, quiet: bool = False) -> Iterator[Show]:
    """Yield a function of (done, note) that shows the progress."""
    if quiet:
        yield lambda done, note="": None
    else:
        with side_by_side({title: total}, start) as (show,):
            yield show


@contextmanager
def side_by_side(totals: Mapping[str, int], start: int = 0) -> Iterator[list[Show]]:
    """Show the progress of concurrent work: yield a function of (done, note) for each title, in order."""
    if not sys.stdout.isatty():
        yield [lines(title, total, start) for title, total in totals.items()]
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}")) as bars:
        yield [bar(bars, title, total, start) for title, total in totals.items()]


def show_warnings_once() -> None:
    """Show each warning of a library once, although every step causes it again; do nothing if Python was started with ``-W``.

    Python's own rule, once per line of code, starts again whenever a block of ``warnings.catch_warnings`` ends, and libraries
    have such blocks many times per step. The same is true of its filter ``once``.
    """
    if sys.warnoptions:
        return
    show, shown = warnings.showwarning, set()

    def show_new(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if (str(message), category) not in shown:
            shown.add((str(message), category))
            show(message, category, *place, **more)

    warnings.showwarning = show_new
