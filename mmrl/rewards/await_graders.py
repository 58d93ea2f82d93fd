"""Calls of async graders: many at once, with a bound for each grader, in one event loop."""

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from mmrl.rewards.grader_forms import GraderCall, Scores

Result = TypeVar("Result")


def await_calls(calls: Sequence[GraderCall]) -> list[Scores]:
    """Return the scores of each call, in the order of the calls, whichever ends first.

    Of each grader at most ``concurrency`` calls are under way at once; the calls of different graders overlap. The first
    error is raised when all other calls have been cancelled and have ended.
    """
    return run(all_of(calls)) if calls else []


async def all_of(calls: Sequence[GraderCall]) -> list[Scores]:
    """Await all calls. The first error ends this; `asyncio.run` then cancels the calls that are left and waits for them."""
    bounds = {call.name: asyncio.Semaphore(call.grader.concurrency) for call in calls}
    return await asyncio.gather(*(bounded(call, bounds[call.name]) for call in calls))


async def bounded(call: GraderCall, bound: asyncio.Semaphore) -> Scores:
    """Make a call when its grader has fewer under way than it may."""
    async with bound:
        return await call.run_async()


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end in a new event loop: in a thread of its own where this one runs a loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # there is none
        return asyncio.run(work)
    with ThreadPoolExecutor(1, "mmrl-graders") as thread:
        return thread.submit(asyncio.run, work).result()
