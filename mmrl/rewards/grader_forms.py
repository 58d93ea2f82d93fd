"""The four forms of a grader, and the check of what a call returns.

    def f(completion: str, **fields) -> float                                 # judges one completion
    def f(completions: list[str], **fields) -> list[float]                    # judges a whole group
    async def f(completion: str, **fields) -> float                           # the same two, awaited
    async def f(completions: list[str], **fields) -> list[float]

A grader judges a whole group if its first parameter has the name ``completions``, as in TRL's reward functions. Departure from
TRL: a field is the value of the one example that the group belongs to, not a list of equal values. A callable object has the
form of its ``__call__``.
"""

import asyncio
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from reprlib import repr as short
from typing import Any

from mmrl.rewards.graders import Grader

DEFAULT_CONCURRENCY = 16  # calls of one async grader that run at once

Scores = list[float | None]  # one score per completion; None if the grader has no verdict


@dataclass(frozen=True, slots=True)
class GroupGrader:
    """A grader of any form, with the properties of its form."""

    grader: Grader
    whole_group: bool
    is_async: bool
    concurrency: int = DEFAULT_CONCURRENCY  # only an async grader uses it

    def parts(self, texts: Sequence[str]) -> list[list[str]]:
        """Split the completions of a group into the lists that one call judges."""
        if self.whole_group:
            return [list(texts)] if texts else []
        return [[text] for text in texts]


@dataclass(frozen=True, slots=True)
class GraderCall:
    """One call of a grader on one completion or on a whole group of one example."""

    name: str
    grader: GroupGrader
    texts: list[str]
    given: Mapping[str, Any]  # the fields of the example
    may_abstain: bool

    @property
    def where(self) -> str:
        """The grader and the example in words, for messages."""
        return f"grader {self.name!r}, example {self.given['id']!r}"

    def run(self) -> Scores:
        """Call a grader that is not async. Raises its errors with a note, and ValueError unless scores are finite numbers."""
        try:
            value = self.ask()
        except Exception as error:  # graders are a user's code and raise anything; it is raised again
            error.add_note(f"in {self.where}")
            raise
        if inspect.iscoroutine(value):
            value.close()
            raise ValueError(f"{self.where}: expected a number, found a coroutine; define the grader with async def")
        return self.scores(value)

    async def run_async(self) -> Scores:
        """Call an async grader and await what it returns. Raises as `run` does, and RuntimeError if the grader cancels itself."""
        try:
            value = await self.ask()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # somebody else cancels: another grader failed, or the run ends
                raise
            raise RuntimeError(f"{self.where}: expected a number, found that it cancelled itself") from error
        except Exception as error:  # graders are a user's code and raise anything; it is raised again
            error.add_note(f"in {self.where}")
            raise
        return self.scores(value)

    def ask(self) -> Any:
        """Call the grader in its own form. A row's field cannot replace the completions."""
        if self.grader.whole_group:
            given = {name: value for name, value in self.given.items() if name != "completions"}
            return self.grader.grader(self.texts.copy(), **given)  # a grader may change its list
        return self.grader.grader(self.texts[0], **self.given)

    def scores(self, value: Any) -> Scores:
        """Return the scores of this call's completions. Raises ValueError unless there is one finite number for each."""
        if not self.grader.whole_group:
            return [self.score(value, self.where)]
        found, size = as_list(value), len(self.texts)
        if found is None:
            kind = type(value).__name__
            raise ValueError(f"{self.where}: expected a list of {size} numbers, found {short(value)} of type {kind}")
        if len(found) != size:
            raise ValueError(f"{self.where}: expected {size} numbers, one for each completion, found {len(found)}")
        return [self.score(each, f"{self.where}, completion {place}") for place, each in enumerate(found)]

    def score(self, value: Any, where: str) -> float | None:
        """Return one score as a float; None passes if the grader may abstain. Raises ValueError for anything else."""
        if value is None and self.may_abstain:
            return None
        if not isinstance(value, Real) or not math.isfinite(value):
            advice = "; None, for no verdict, is allowed in evaluations only" if value is None else ""
            raise ValueError(f"{where}: expected a finite number, found {short(value)}{advice}")
        return float(value)


def group_grader(grader: Grader | GroupGrader, concurrency: int | None = None) -> GroupGrader:
    """Return a grader with its form. Raises ValueError for a concurrency below 1, or for any if the grader is not async."""
    if isinstance(grader, GroupGrader):
        return grader
    is_async = awaits(grader)
    if concurrency is not None and not is_async:
        raise ValueError(
            "concurrency: expected an async grader (async def), as any other is called once at a time; found one that is "
            "not async. Leave concurrency out"
        )
    if concurrency is not None and concurrency < 1:
        raise ValueError(f"concurrency: expected 1 or more calls at once, found {concurrency}")
    return GroupGrader(grader, judges_whole_group(grader), is_async, concurrency or DEFAULT_CONCURRENCY)


def awaits(grader: Callable[..., Any]) -> bool:
    """Return True if a function, a partial's function or a callable object's ``__call__`` is defined with async def."""
    while isinstance(grader, partial):
        grader = grader.func
    return inspect.iscoroutinefunction(grader) or inspect.iscoroutinefunction(type(grader).__call__)


def judges_whole_group(grader: Callable[..., Any]) -> bool:
    """Return True if the first parameter is named completions. Raises ValueError if another one is, which gets no value."""
    try:
        first, *others = inspect.signature(grader).parameters
    except (TypeError, ValueError):  # some callables of C have no signature; a callable may have no parameter
        return False
    if "completions" in others and first != "completion":
        raise ValueError(
            f"expected completions to be the first parameter of a grader that judges a whole group, found {first!r} before it"
        )
    return first == "completions"


def as_list(value: Any) -> Sequence[Any] | None:
    """Convert a list, a tuple, an array or a tensor to a sequence of Python numbers; return None for anything else."""
    plain = value.tolist() if callable(getattr(value, "tolist", None)) else value
    return plain if isinstance(plain, list | tuple) else None
