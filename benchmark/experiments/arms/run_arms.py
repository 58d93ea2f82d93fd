"""Arms of reinforcement learning from one base, over seeds and cue strengths.

    OUT/ARM-sSEED.json   one run, as benchmark/experiments/arms/tables.py reads it
    OUT/work/            worlds, examinations of the base, trainings and logs; git leaves it out

A run whose file is there is not run again; one that was interrupted begins anew. One that fails is reported and leaves
the others alone.
"""

import shutil
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import fmean

from benchmark.experiments.arms.job import ARMS, UNTRAINED, USUAL, Job
from benchmark.experiments.arms.processes import Task, run_all
from benchmark.experiments.arms.tables import TABLE, parsed
from benchmark.tables import Cells
from mmrl.cli.quickstart.settings import QuickstartPlan
from mmrl.cli.quickstart.train_arms import log_tail
from mmrl.models.loading import check_directory
from mmrl.runtime.console import progress
from mmrl.runtime.files import write_whole
from mmrl.world.cues import Cue


def wanted(
    out: Path, arms: Sequence[str], seeds: Sequence[int], strengths: Sequence[float], plan: QuickstartPlan = USUAL
) -> list[Job]:
    """Return all runs, those of one seed together. Raises ValueError for what cannot be run, before anything is."""
    unknown = [arm for arm in arms if arm not in ARMS]
    if unknown:
        raise ValueError(f"--arms: expected some of {', '.join(ARMS)}; found {', '.join(unknown)}")
    for strength in strengths:
        Cue(strength=strength)
    check_directory(plan.base)
    plans = [replace(plan, strength=strength) for strength in strengths]
    return [Job(arm, seed, one, out.resolve()) for seed, one, arm in product(seeds, plans, arms)]


def run(jobs: Sequence[Job], at_once: int) -> list[str]:
    """Run what is not there yet, ``at_once`` processes at a time, one thread each; the names of those that failed."""
    left = [job for job in jobs if not job.done]
    if not left:
        return []
    left[0].work.mkdir(parents=True, exist_ok=True)
    (left[0].work / ".gitignore").write_text("*\n")
    shared = {job.shared.folder: job.shared for job in left if not job.shared.done}
    failed = together("bases", list(shared.values()), at_once)
    ready = [job for job in left if job.shared.done]
    for job in left:
        if job not in ready:
            complain(f"{title(job)}: not run, because its base could not be examined")
            failed.append(title(job))
    return failed + together("runs", ready, at_once)


def together(what: str, jobs: Sequence[Job], at_once: int) -> list[str]:
    """Do jobs side by side; the names of those that failed, each reported with the end of its log."""
    over: dict[str, int] = {}

    def ended(task: Task, status: int) -> None:
        over[task.name] = status
        if status:
            complain(f"{task.name}: ended with status {status}. The end of {task.log}:\n{log_tail(task.log)}")
        show(len(over), task.name)

    with progress(what, len(jobs), quiet=not jobs) as show:
        run_all([task_of(job) for job in jobs], at_once, ended)
    return [name for name, status in over.items() if status]


def task_of(job: Job) -> Task:
    """Return the process of a job; what an interrupted training left is cleared away."""
    if job.arm != UNTRAINED:
        shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True, exist_ok=True)
    asked = job.folder / "job.json"
    write_whole(asked, job.as_json())
    return Task(
        title(job), (sys.executable, "-m", "benchmark.experiments.arms.run_job", str(asked)), job.folder / "log.txt"
    )


def title(job: Job) -> str:
    """Return how a job is called."""
    return f"{job.name}, seed {job.seed}"


def complain(text: str) -> None:
    """Say what went wrong."""
    print(text, file=sys.stderr, flush=True)


def listing(jobs: Sequence[Job], at_once: int) -> tuple[Cells, str]:
    """Return what would be run, and how long that takes by the runs that are finished."""
    known = seconds_a_step(jobs[0].out)
    lines, left = [], []
    for job in jobs:
        seconds = None if job.done else estimate(job, known)
        left += [] if job.done else [seconds]
        state = "finished" if job.done else "to run"
        minutes = "" if job.done else "?" if seconds is None else f"{seconds / 60:.1f}"
        lines.append([job.name, str(job.seed), str(job.plan.steps), job.base, state, minutes])
    return (["arm", "seed", "steps", "base", "state", "minutes"], lines), in_all(left, at_once)


def in_all(left: Sequence[float | None], at_once: int) -> str:
    """Say how much is left."""
    if not left:
        return "Nothing to run."
    if None in left:
        return f"{len(left)} to run; how long that takes can be said when one has finished."
    return f"{len(left)} to run: about {sum(left) / 60 / min(at_once, len(left)):.0f} minutes, {at_once} at a time."


def seconds_a_step(out: Path) -> dict[str, float]:
    """Return what a step of the finished runs took, examination included, by arm; "" for all arms together."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for path in sorted(out.glob("*.json")):
        if not path.name.endswith(TABLE):
            one = parsed(path)
            for name in (one.arm, plain(one.arm), ""):
                found[name].append(one.seconds / one.steps)
    return {name: fmean(values) for name, values in found.items()}


def estimate(job: Job, known: Mapping[str, float]) -> float | None:
    """Seconds that a run will take by the most alike that are finished; None where none is."""
    name = next((name for name in (job.name, job.arm, "") if name in known), None)
    return None if name is None else known[name] * job.plan.steps


def plain(arm: str) -> str:
    """Return an arm's name without its marks."""
    return arm.partition("@")[0].partition("+")[0]
