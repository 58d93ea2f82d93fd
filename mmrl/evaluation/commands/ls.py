"""``mmrl eval ls``: benchmarks by name, conditions, and runs with how much of them is done."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmrl.data.conditions import NAMES
from mmrl.evaluation.run_folder import RUN, progress_of, read_run, sets_of
from mmrl.runtime.console import console

WIDE = 200  # columns: a table is never cut
BENCHMARKS = Path("configs", "eval")


def listing(folder: Path) -> None:
    """Print all three."""
    show(benchmarks(BENCHMARKS))
    console.print(f"\nConditions: {', '.join(NAMES)}\n")
    show(runs(folder))


def show(made: Table) -> None:
    """Print a table whole; a narrow terminal wraps its lines."""
    Console(width=max(console.width, WIDE)).print(made)


def table(title: str, columns: tuple[str, ...]) -> Table:
    """A plain table."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, no_wrap=True)
    return made


def benchmarks(folder: Path) -> Table:
    """The configs of a folder: their name, and what their second line says."""
    found = table(f"Benchmarks ({folder})", ("name", "what"))
    for path in sorted(folder.glob("*.yaml")):
        found.add_row(path.stem, [*path.read_text().splitlines(), "", ""][1].lstrip("# "))
    return found


def runs(folder: Path) -> Table:
    """Runs below a folder, each of their sets with the samples that are there of those planned."""
    found = table(f"Runs ({folder})", ("run", "set", "samples", "model", "started"))
    for path in sorted(folder.rglob(RUN)):
        run = read_run(path.parent)
        for number, (name, out) in enumerate(started_sets(path.parent).items()):
            done, planned = progress_of(out)
            count = f"{done:,} of {planned:,}" + ("" if done == planned else ", unfinished")
            first = (str(path.parent), run.model, run.started) if number == 0 else ("", "", "")
            found.add_row(first[0], name, count, first[1], first[2])
    return found


def started_sets(folder: Path) -> dict[str, Path]:
    """The sets of a run; none where it was stopped before its first."""
    return sets_of(folder) if any(folder.rglob("plan.json")) else {}
