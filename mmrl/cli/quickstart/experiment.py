"""Run the quickstart, from an empty directory to a report."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from mmrl.cli.quickstart.evaluate_levels import evaluate_levels
from mmrl.cli.quickstart.publish import publish
from mmrl.cli.quickstart.settings import ARMS, AXES, QuickstartPlan, training_config
from mmrl.cli.quickstart.train_arms import train_arms
from mmrl.models.loading import check_directory
from mmrl.runtime.console import progress
from mmrl.world.build import render
from mmrl.world.render import SMALL
from mmrl.world.splits import Recipe

MARK = ".quickstart"  # the file that marks a quickstart's directory, which may be deleted and created again


def run_quickstart(out: Path, seed: int, plan: QuickstartPlan = QuickstartPlan()) -> dict[str, Any]:
    """Render, train, evaluate and publish; return the summary."""
    check_directory(plan.base)
    start_over(out)
    seconds: dict[str, float] = {}
    with timed("render", seconds):
        world = make_world(out / "world", seed, plan)
    with timed("train", seconds):
        learned = train_arms({arm: training_config(arm, plan, world, out / arm, seed) for arm in ARMS})
    with timed("evaluate", seconds):
        summaries = evaluate_levels({"base": plan.base} | learned, plan, world, out / "eval", seed)
    return publish(out, world, seed, plan, seconds, summaries, learned)


def start_over(out: Path) -> None:
    """Create an empty directory; delete one of an earlier quickstart first. Raises FileExistsError for any other."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARK).exists():
            raise FileExistsError(
                f"{out}: expected an empty directory or an earlier quickstart, found something else; give another --out"
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()


@contextmanager
def timed(phase: str, seconds: dict[str, float]) -> Iterator[None]:
    """Record the seconds that the block takes."""
    began = perf_counter()
    yield
    seconds[phase] = round(perf_counter() - began, 1)


def make_world(out: Path, seed: int, plan: QuickstartPlan) -> Path:
    """Render the world as MP4 and PNG files in SEED-Bench-R1's layout; return its folder."""
    recipe = Recipe(plan.sizes, seed, SMALL, plan.cues, AXES)
    with progress("render", recipe.groups) as show:
        return render(out, recipe, workers=os.cpu_count() or 1, progress=show)
