"""From an empty directory to a report."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from mmrl.cli.quickstart.arms import train
from mmrl.cli.quickstart.looks import take
from mmrl.cli.quickstart.page import publish
from mmrl.cli.quickstart.plan import ARMS, AXES, Plan, training
from mmrl.models.loading import check_directory
from mmrl.runtime.console import progress
from mmrl.world.build import render
from mmrl.world.render import SMALL

MARK = ".quickstart"  # in a directory that a quickstart made and may make anew


def quickstart(out: Path, seed: int, plan: Plan = Plan()) -> dict[str, Any]:
    """Run it all; the summary."""
    check_directory(plan.base)
    start_over(out)
    seconds: dict[str, float] = {}
    with timed("render", seconds):
        world = make_world(out / "world", seed, plan)
    with timed("train", seconds):
        learned = train({arm: training(arm, plan, world, out / arm, seed) for arm in ARMS})
    with timed("evaluate", seconds):
        found = take({"base": plan.base} | learned, plan, world, out / "eval", seed)
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


def make_world(out: Path, seed: int, plan: Plan) -> Path:
    """MP4 and PNG files in SEED-Bench-R1's layout."""
    with progress("render", plan.sizes.groups(AXES, plan.cues)) as show:
        return render(
            out,
            plan.sizes,
            seed=seed,
            dial=SMALL,
            cues=plan.cues,
            axes=AXES,
            workers=os.cpu_count() or 1,
            progress=lambda done, _: show(done),
        )
