"""All graders on all completions of an example. A grader that fails is an error with its name, never a 0."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.rewards.graders import Grader
from mmrl.types import Example


def grade(texts: Sequence[str], example: Example, graders: Mapping[str, Grader]) -> dict[str, Float[Tensor, " g"]]:
    """Return scores by grader, one a text, in float32, unweighted.

    An exception of a grader passes through with a note that names the grader and the example; what is no finite number
    is a ValueError.
    """
    given = fields(example)
    return {
        name: torch.tensor([run_grader(name, grader, text, given) for text in texts], dtype=torch.float32)
        for name, grader in graders.items()
    }


def grade_one(text: str, example: Example, graders: Mapping[str, Grader]) -> dict[str, float | None]:
    """Grade one text; for evaluations, in which a grader may also return None: no verdict."""
    given = fields(example)
    return {name: run_grader(name, grader, text, given, may_abstain=True) for name, grader in graders.items()}


def fields(example: Example) -> dict[str, Any]:
    """Return what a grader is given beside the completion: the row as read, overridden by the example's own names."""
    own = {name: getattr(example, name) for name in ("id", "question", "answer", "kind", "choices")}
    return {name: value for name, value in example.fields.items() if name != "completion"} | own


def run_grader(
    name: str, grader: Grader, text: str, given: Mapping[str, Any], may_abstain: bool = False
) -> float | None:
    """One number from one grader, or None if it may say that it has no verdict."""
    where = f"grader {name!r}, example {given['id']!r}"
    try:
        value = grader(text, **given)
    except Exception as error:  # graders are a user's code and raise anything; it is raised again
        error.add_note(f"in {where}")
        raise
    if value is None and may_abstain:
        return None
    if not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{where}: expected a finite number, found {value!r}")
    return float(value)
