"""The contents of a report as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmrl.evaluation.tables.arms import ModelComparison
from mmrl.evaluation.tables.levels import Levels


@dataclass(frozen=True, slots=True)
class RolloutCompletion:
    """One completion of a rollout, as the report shows it."""

    text: str
    rewards: Mapping[str, float] = field(default_factory=dict)  # rewards by name; "total" is highlighted
    correct: bool | None = None  # None means unknown
    consistent: bool | None = None
    answer_span: tuple[int, int] | None = None  # characters [start, end) of the graded answer in the text
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """A prompt and some of its completions."""

    title: str  # such as "L2, item 0031, step 40"
    prompt: str
    completions: Sequence[RolloutCompletion]
    gold: str | None = None
    strip: np.ndarray | None = None  # frames side by side: uint8 [h w 3]


@dataclass(frozen=True, slots=True)
class ReportData:
    """The contents of a report about a run."""

    title: str
    subtitle: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)  # seed, commit, machine, seconds, command
    comparison: ModelComparison | None = None
    levels: Levels = field(default_factory=dict)
    levels_title: str = "Before and after"
    runs: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)  # rows of metrics.jsonl, by name
    rollouts: Sequence[Rollout] = ()
    notes: Sequence[str] = ()  # the limits of the numbers
