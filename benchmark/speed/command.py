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


def chosen(contenders: str | None, tell: Tell, usual: tuple[str, ...]) -> tuple[str, ...]:
    """Which contenders run; what is not installed is left out aloud unless it was asked for."""
    if contenders is not None:
        return tuple(contenders.split(","))
    absent = [name for name in usual if name not in run.available()]
    if absent:
        tell("TRL is not installed and left out: pip install -e '.[bench]'")
    return tuple(name for name in usual if name not in absent)


def sweep(
    out: Path,
    axes: Axes,
    contenders: str | None,
    repetitions: int,
    threads: int | None,
    gpu: bool,
    plan: bool,
    tell: Tell,
) -> bool:
    """Measure what is missing and show all points; whether nothing failed."""
    who = chosen(contenders, tell, tuple(run.CONTENDERS))
    how = run.Plan(out, who, repetitions, threads or os.cpu_count() or 1, gpu)
    points = list(GPU_CASES) if gpu else axes.cases()
    if gpu:
        check_gpu()
    if plan:
        listed, left = run.listing(points, how)
        show(terminal(listed, words=2))
        tell(left)
        return True
    failed = run.run(points, how, tell)
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


def central(towers: str, checkpointing: bool, contenders: str | None, threads: int | None, tell: Tell) -> None:
    """``--quick``: the last line is one JSON object."""
    case = Case(tower=towers, checkpointing=checkpointing)
    who = QUICK if contenders is None else tuple(contenders.split(","))
    if not set(QUICK) <= set(who):
        raise ValueError(f"--contenders: --quick needs {', '.join(QUICK)}; found {contenders}")
    with tempfile.TemporaryDirectory() as folder:
        how = run.Plan(Path(folder), who, 3, threads or os.cpu_count() or 1)
        found = run.quick(how, case, tell)
    show(terminal(page.cells([found]), page.TITLE))
    show(terminal(page.goals([found]), page.TITLE_TARGETS, words=2))
    tell(json.dumps(run.last_line(case, found)))
