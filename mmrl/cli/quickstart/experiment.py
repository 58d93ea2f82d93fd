"""From an empty directory to a report."""

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

MARK = ".quickstart"  # in a directory that a quickstart made and may make anew


def run_quickstart(out: Path, seed: int, plan: QuickstartPlan = QuickstartPlan()) -> dict[str, Any]:
    """Run it all; the summary."""
    check_directory(plan.base)
    start_over(out)
    seconds: dict[str, float] = {}
    with timed("render", seconds):
        world = make_world(out / "world", seed, plan)
    with timed("train", seconds):
        learned = train_arms({arm: training_config(arm, plan, world, out / arm, seed) for arm in ARMS})
    with timed("evaluate", seconds):
        found = evaluate_levels({"base": plan.base} | learned, plan, world, out / "eval", seed)
    return publish(out, world, seed, plan, seconds, found, learned)


def start_over(out: Path) -> None:
    """An empty directory; one that an earlier quickstart made is made anew, any other is left alone."""
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
    """Write down how long a phase takes."""
    began = perf_counter()
    yield
    seconds[phase] = round(perf_counter() - began, 1)


def make_world(out: Path, seed: int, plan: QuickstartPlan) -> Path:
    """MP4 and PNG files in SEED-Bench-R1's layout."""
    recipe = Recipe(plan.sizes, seed, SMALL, plan.cues, AXES)
    with progress("render", recipe.groups) as show:
        return render(out, recipe, workers=os.cpu_count() or 1, progress=show)
