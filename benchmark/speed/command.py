"""What the command line asks for, turned into points and shown."""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark.speed import page, run
from benchmark.speed.case import GPU_CASES, Case, cases
from benchmark.tables import markdown, show, terminal, write

SWITCH = {"off": (False,), "on": (True,), "both": (False, True)}
QUICK = ("mmrl", "plain", "floor")
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Axes:
    """Options as they were given."""

    prompts: str
    groups: str
    new_tokens: str
    vocabularies: str
    towers: str
    checkpointing: str

    def cases(self) -> list[Case]:
        """Every combination. Raises ValueError for an option that is none."""
        if self.checkpointing not in SWITCH:
            raise ValueError(f"--checkpointing: expected one of {', '.join(SWITCH)}; found {self.checkpointing!r}")
        towers = ("trained", "frozen") if self.towers == "both" else tuple(self.towers.split(","))
        axes = (whole(name, getattr(self, name)) for name in ("prompts", "groups", "new_tokens", "vocabularies"))
        return list(cases(*axes, towers, SWITCH[self.checkpointing]))


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
    write(out / run.TABLE, page.as_json(found))
    (out / "table.md").write_text(f"{markdown(table)}\n\n{markdown(goals, words=2)}\n")
    page.draw(found, out / "speed.png")
    tell(f"{out / 'table.md'}, {out / run.TABLE} and {out / 'speed.png'} written")


def central(towers: str, checkpointing: bool, how: How, tell: Tell) -> None:
    """``--quick``: the last line is one JSON object."""
    case = Case(tower=towers, checkpointing=checkpointing)
    with tempfile.TemporaryDirectory() as folder:
        plan = how.plan(Path(folder), QUICK, tell)
        if not set(QUICK) <= set(plan.contenders):
            raise ValueError(f"--contenders: --quick needs {', '.join(QUICK)}; found {how.contenders}")
        found = run.quick(plan, case, tell)
    show(terminal(page.cells([found]), page.TITLE))
    show(terminal(page.goals([found]), page.TITLE_TARGETS, words=2))
    tell(json.dumps(run.last_line(case, found)))
