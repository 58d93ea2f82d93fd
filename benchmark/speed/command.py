"""Turns what the command line asks for into points, and shows them."""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.speed import page, run
from benchmark.speed.case import GPU_CASES, PUBLISHED, Case, cases
from benchmark.tables import markdown, show, terminal
from mmrl.runtime.files import write_json

SWITCH = {"off": (False,), "on": (True,), "both": (False, True)}
QUICK = ("mmrl", "plain", "floor")
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Axes:
    """Options as they were given; None for those that were not."""

    prompts: str | None = None
    groups: str | None = None
    new_tokens: str | None = None
    vocabularies: str | None = None
    towers: str | None = None
    checkpointing: str | None = None

    def cases(self) -> list[Case]:
        """Every combination, of what was not given the central point's; without any option the published points.

        Raises ValueError for an option that is none.
        """
        if self == Axes():
            return list(PUBLISHED)
        centre, recomputed = Case(), self.checkpointing or "off"
        if recomputed not in SWITCH:
            raise ValueError(f"--checkpointing: expected one of {', '.join(SWITCH)}; found {recomputed!r}")
        towers = ("trained", "frozen") if self.towers == "both" else tuple((self.towers or centre.tower).split(","))
        usual = {"prompts": centre.prompt, "groups": centre.group}
        usual |= {"new_tokens": centre.new_tokens, "vocabularies": centre.vocabulary}
        axes = (whole(name, getattr(self, name) or str(value)) for name, value in usual.items())
        return list(cases(*axes, towers, SWITCH[recomputed]))


def whole(option: str, text: str) -> list[int]:
    """The numbers of "4,8". Raises ValueError for anything else."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--{option.replace('_', '-')}: expected whole numbers as in 4,8; found {text!r}") from None


@dataclass(frozen=True, slots=True)
class How:
    """The other options."""

    contenders: str | None
    repetitions: int
    threads: int | None
    clock: str
    gpu: bool = False

    def plan(self, out: Path, usual: tuple[str, ...], tell: Tell) -> run.Plan:
        """As it is run; a contender that is not installed is left out aloud, unless it was asked for."""
        names = usual if self.contenders is None else tuple(self.contenders.split(","))
        if self.contenders is None and not set(names) <= set(run.available()):
            tell("TRL is not installed and left out: pip install -e '.[bench]'")
            names = tuple(name for name in names if name in run.available())
        return run.Plan(out, names, self.repetitions, self.threads or os.cpu_count() or 1, self.gpu, self.clock)


def sweep(out: Path, axes: Axes, how: How, only_list: bool, tell: Tell) -> bool:
    """Measure what is missing and show all points; whether nothing failed."""
    plan = how.plan(out, tuple(run.CONTENDERS), tell)
    points = list(GPU_CASES) if how.gpu else axes.cases()
    if how.gpu:
        check_gpu()
    if only_list:
        listed, left = run.listing(points, plan)
        show(terminal(listed, words=2))
        tell(left)
        return True
    failed = run.run(points, plan, tell)
    present(out, tell)
    for name in failed:
        tell(f"FAILED {name}")
    return not failed


def check_gpu() -> None:
    """Refuse before anything is built."""
    import torch

    if not torch.cuda.is_available():
        raise ValueError("--gpu: expected a CUDA device, found none")


def present(out: Path, tell: Tell) -> None:
    """Table, Markdown, JSON and picture of all points in a folder."""
    found = page.points(out)
    table, goals = page.cells(found), page.goals(found)
    show(terminal(table, page.TITLE))
    show(terminal(goals, page.TITLE_TARGETS, words=2))
    write_json(out / run.TABLE, page.as_json(found))
    (out / "table.md").write_text(f"{markdown(table)}\n\n{markdown(goals, words=2)}\n")
    page.draw(found, out / "speed.png")
    tell(f"{out / 'table.md'}, {out / run.TABLE} and {out / 'speed.png'} written")


def central(axes: Axes, how: How, tell: Tell) -> None:
    """``--quick``: the last line is one JSON object. Raises ValueError where the options name other points than one like it."""
    found = Axes(towers=axes.towers or "trained", checkpointing=axes.checkpointing).cases()
    if len(found) > 1 or replace(axes, towers=None, checkpointing=None) != Axes():
        raise ValueError("--quick: expected the central point, with --towers and --checkpointing at most; found others")
    (case,) = found
    with tempfile.TemporaryDirectory() as folder:
        plan = how.plan(Path(folder), QUICK, tell)
        if not set(QUICK) <= set(plan.contenders):
            raise ValueError(f"--contenders: --quick needs {', '.join(QUICK)}; found {how.contenders}")
        found = run.quick(plan, case, tell)
    show(terminal(page.cells([found]), page.TITLE))
    show(terminal(page.goals([found]), page.TITLE_TARGETS, words=2))
    tell(json.dumps(run.last_line(case, found)))
