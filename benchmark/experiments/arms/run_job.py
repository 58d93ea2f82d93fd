"""One job in a process of its own: python -m benchmark.experiments.arms.run_job JOB.json"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmark.experiments.arms.job import ARMS, UNTRAINED, Job, job_of
from benchmark.experiments.arms.tables import Run, finite
from mmrl.cli.quickstart.evaluate_levels import evaluate_level
from mmrl.cli.quickstart.settings import AXES, LEVELS, evaluation_section, training_config
from mmrl.cli.quickstart.train_arms import last_checkpoint
from mmrl.config.load import parse
from mmrl.config.schema import Config
from mmrl.evaluation import Summary
from mmrl.runtime.files import write_json
from mmrl.runtime.provenance import commit, machine
from mmrl.training.build import build
from mmrl.world.build import render
from mmrl.world.render import SMALL
from mmrl.world.splits import Recipe

Levels = Mapping[str, Mapping[str, Mapping[str, Any]]]  # by level and metric


def do(job: Job) -> None:
    """Writes the job's result."""
    if job.arm == UNTRAINED:
        plan = job.plan  # the quickstart's world, by one process, as others are at work
        render(job.world, Recipe(plan.sizes, job.seed, SMALL, plan.cues, AXES))
        write_json(job.result, {"levels": examined(job.plan.base, job)})
    else:
        write_json(job.result, learned(job).model_dump())


def learned(job: Job) -> Run:
    """Return a trained arm, examined; what its base reached on the same items beside it."""
    began = perf_counter()
    build(config_of(job)).fit()
    levels = examined(last_checkpoint(job.folder / "train"), job)
    return Run(
        arm=job.name,
        seed=job.seed,
        steps=job.plan.steps,
        base=job.base,
        command=job.command,
        commit=commit(),
        machine=machine(),
        seconds=round(perf_counter() - began, 1),
        levels=levels,
        before=examined_before(job),
    )


def config_of(job: Job) -> Config:
    """Return the quickstart's training with the arm's algorithm.

    Prompts, seed and everything else are the same for all.
    """
    usual = training_config("grpo", job.plan, job.world, job.folder / "train", job.seed).model_dump(mode="json")
    return parse(Config, usual | {"algorithm": ARMS[job.arm]}, f"rl.{job.arm}")


def examined(model: Path, job: Job) -> Levels:
    """Return a model on the quickstart's four levels, with the events of the lamp's station as one more metric."""
    found = {}
    for level in LEVELS:
        section = evaluation_section(level, "full", job.plan, job.world, job.seed)
        section = section.model_copy(update={"graders": section.graders | {"station": "world_station"}})
        found[level] = measured(evaluate_level(model, section, job.folder / "eval"))
    return found


def examined_before(job: Job) -> Levels:
    """Return what the base reached, from the job that examined it."""
    return json.loads(job.shared.result.read_text())["levels"]


def measured(summary: Summary) -> Mapping[str, Mapping[str, Any]]:
    """Metrics as a run's file has them. Raises RuntimeError where an item could not be seen: it would count as wrong."""
    unseen = summary.statuses.get("media_error", 0)
    if unseen:
        raise RuntimeError(f"{summary.name}: expected every item to be seen, found {unseen} whose files do not decode")
    return {
        name: {"mean": value.mean, "low": finite(value.low), "high": finite(value.high), "n": summary.n}
        for name, value in summary.metrics.items()
    }


if __name__ == "__main__":
    do(job_of(Path(sys.argv[1]).read_text()))
