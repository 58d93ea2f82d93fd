"""Progress, rate and remaining time of anything long: a live bar on a terminal, a line now and then elsewhere. And warnings."""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY = 10.0  # seconds between lines where there is no terminal

console = Console(soft_wrap=True)
Show = Callable[..., None]  # of (done, note=""): how far things are, and a few words


def speed(rate: float) -> str:
    """A rate in words."""
    return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each" if rate > 0 else "-"


def lines(title: str, total: int, start: int) -> Show:
    """Progress for logs: now and then a line that says what, done of total, rate, seconds left."""
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
    """Shows the same as one more bar."""
    task, began = bars.add_task(title, total=total, completed=start, note="", rate=""), monotonic()

    def show(done: int, note: str = "") -> None:
        rate = (done - start) / max(monotonic() - began, 1e-9)
        bars.update(task, completed=done, note=note, rate=speed(rate))

    return show


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
    """Shows things that go on at the same time: gives a function for each title, in order."""
    if not sys.stdout.isatty():
        yield [lines(title, total, start) for title, total in totals.items()]
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}")) as bars:
        yield [bar(bars, title, total, start) for title, total in totals.items()]


def show_warnings_once() -> None:
    """Show each warning of a library once, however often a step provokes it; nothing changes where Python was given ``-W``.

    Python's own rule, once a line of code, begins anew whenever anybody leaves ``warnings.catch_warnings``, and libraries
    do so many times a step. The same befalls its filter ``once``.
    """
    if sys.warnoptions:
        return
    show, shown = warnings.showwarning, set()

    def show_new(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if (str(message), category) not in shown:
            shown.add((str(message), category))
            show(message, category, *place, **more)

    warnings.showwarning = show_new
