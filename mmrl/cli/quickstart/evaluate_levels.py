"""Evaluate every model on every level, several at a time, each in one process with one thread."""

import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch

from mmrl.cli.quickstart.settings import ARMS, CONTROLS, LEVELS, NEUTRAL, QuickstartPlan, evaluation_section
from mmrl.config.open_model import policy_of
from mmrl.config.schema import EvaluationSection, ModelSection
from mmrl.data.conditions import Condition
from mmrl.evaluation import Summary
from mmrl.evaluation.evaluator import evaluate_model
from mmrl.runtime.console import progress

AT_ONCE = 4  # the most processes; each has a copy of model and data


@dataclass(frozen=True, slots=True)
class LevelRun:
    """One model on one level under one condition."""

    model: str  # base or an arm
    level: str
    condition: Condition = "full"

    @property
    def folder(self) -> str:
        """The folder of its records, relative to the folder of all evaluations."""
        return self.model if self.condition == "full" else f"{self.model}_{self.condition}"


# all evaluations; paired ones get the same items and the same noise
LEVEL_RUNS = [
    *(LevelRun(model, level) for model in ("base", *ARMS) for level in LEVELS),
    *(LevelRun(model, NEUTRAL, condition) for model in ARMS for condition in CONTROLS),
]


def evaluate_levels(
    models: Mapping[str, Path], plan: QuickstartPlan, world: Path, out: Path, seed: int
) -> dict[LevelRun, Summary]:
    """Evaluate every model on every level, several at a time; records are written below ``out``."""
    at_once = min(os.cpu_count() or 1, AT_ONCE)
    with (
        progress("evaluate", len(LEVEL_RUNS)) as show,
        ProcessPoolExecutor(at_once, get_context("spawn"), torch.set_num_threads, (1,)) as pool,
    ):
        pending = {}
        for run in LEVEL_RUNS:
            section = evaluation_section(run.level, run.condition, plan, world, seed)
            pending[run] = pool.submit(evaluate_level, models[run.model], section, out / run.folder)
        try:
            for done, future in enumerate(as_completed(pending.values()), 1):
                future.result()
                show(done)
        finally:
            pool.shutdown(cancel_futures=True)  # if one fails, cancel those that have not started
    return {run: future.result() for run, future in pending.items()}


def evaluate_level(model: Path, section: EvaluationSection, out: Path) -> Summary:
    """Evaluate a model on the one set of the section."""
    policy = policy_of(ModelSection(path=str(model), compute_dtype="float32"), section.template, torch.device("cpu"))
    (summary,) = evaluate_model(policy, section, out, max_num_seqs=section.batch_size, quiet=True).values()
    return summary
