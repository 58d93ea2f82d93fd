"""Runs all graders on all completions of some examples. A grader that fails is an error that names it, never a score of 0."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.rewards.await_graders import await_calls
from mmrl.rewards.grader_forms import GraderCall, GroupGrader, Scores, group_grader
from mmrl.rewards.graders import Grader
from mmrl.types import Example, Group

Graders = Mapping[str, Grader | GroupGrader]  # by the reward's name, in any of the forms of `mmrl.rewards.grader_forms`
Question = tuple[Sequence[str], Example]  # completions and the example that they answer


def grade(texts: Sequence[str], example: Example, graders: Graders) -> dict[str, Float[Tensor, " g"]]:
    """Return the score of each text by the grader's name, in float32, unweighted.

    An exception of a grader passes through with a note that names the grader and the example. A score that is not a finite
    number raises ValueError.
    """
    (scores,) = judge([(texts, example)], graders)
    return as_tensors(scores)


def grade_groups(groups: Sequence[Group], graders: Graders) -> list[dict[str, Float[Tensor, " g"]]]:
    """Return what `grade` returns of each group. The calls of async graders overlap over all groups."""
    return [as_tensors(each) for each in judge([(group.texts, group.prompt.example) for group in groups], graders)]


def grade_one(text: str, example: Example, graders: Graders) -> dict[str, float | None]:
    """Return the scores of one text, for evaluations. A grader may return None for "no verdict"; one for groups gets a list of one."""
    (scores,) = judge([([text], example)], graders, may_abstain=True)
    return {name: score for name, (score,) in scores.items()}


def judge(questions: Sequence[Question], graders: Graders, may_abstain: bool = False) -> list[dict[str, Scores]]:
    """Return, for each question, the scores of its texts by grader."""
    forms = {name: group_grader(grader) for name, grader in graders.items()}
    calls = [
        GraderCall(name, form, part, given, may_abstain)
        for texts, given in [(texts, fields(example)) for texts, example in questions]
        for name, form in forms.items()
        for part in form.parts(texts)
    ]
    found = iter(run_calls(calls))
    return [
        {name: [score for _ in form.parts(texts) for score in next(found)] for name, form in forms.items()}
        for texts, _ in questions
    ]


def run_calls(calls: Sequence[GraderCall]) -> list[Scores]:
    """Return the scores of each call. Graders that are not async run first, one after another; async ones then run together."""
    direct = [None if call.grader.is_async else call.run() for call in calls]
    awaited = iter(await_calls([call for call in calls if call.grader.is_async]))
    return [next(awaited) if scores is None else scores for scores in direct]


def as_tensors(scores: Mapping[str, Scores]) -> dict[str, Float[Tensor, " g"]]:
    """Return scores that are all numbers as float32."""
    return {name: torch.tensor(each, dtype=torch.float32) for name, each in scores.items()}


def fields(example: Example) -> dict[str, Any]:
    """Return the keyword arguments of a grader: the fields of the row, overridden by the example's own names."""
    own = {name: getattr(example, name) for name in ("id", "question", "answer", "kind", "choices")}
    return {name: value for name, value in example.fields.items() if name != "completion"} | own
