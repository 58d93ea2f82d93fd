"""Await async graders: many calls at once in one event loop, with a bound for each grader."""

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from mmrl.rewards.grader_forms import GraderCall, Scores

Result = TypeVar("Result")


def await_calls(calls: Sequence[GraderCall]) -> list[Scores]:
    """Return the scores of each call, in the order of ``calls``.

    At most ``concurrency`` calls of each grader run at once; the calls of different graders overlap. After the first error all
    other calls are cancelled; when they have ended, the error is raised.
    """
    return run(all_of(calls)) if calls else []


async def all_of(calls: Sequence[GraderCall]) -> list[Scores]:
    """Await all calls. The first error ends this coroutine; `asyncio.run` then cancels the other calls and waits for them."""
    bounds = {call.name: asyncio.Semaphore(call.grader.concurrency) for call in calls}
    return await asyncio.gather(*(bounded(call, bounds[call.name]) for call in calls))


async def bounded(call: GraderCall, bound: asyncio.Semaphore) -> Scores:
    """Await a call as soon as its grader has a free slot."""
    async with bound:
        return await call.run_async()


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in a new event loop; in a new thread if this thread already runs a loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # no loop is running
        return asyncio.run(work)
    with ThreadPoolExecutor(1, "mmrl-graders") as thread:
        return thread.submit(asyncio.run, work).result()
