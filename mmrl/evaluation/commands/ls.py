"""``mmrl eval ls``: benchmarks by name, conditions, and runs with their progress."""

from pathlib import Path

from rich.table import Table

from mmrl.data.conditions import NAMES, OR_YOUR_OWN
from mmrl.evaluation.plan import PLAN
from mmrl.evaluation.run_folder import RUN, progress_of, read_run, sets_of
from mmrl.evaluation.tables.terminal import plain_table, show
from mmrl.runtime.console import console

BENCHMARKS = Path("configs", "eval")


def listing(folder: Path) -> None:
    """Print the benchmarks, the conditions and the runs."""
    benchmarks = plain_table(f"Benchmarks ({BENCHMARKS})", ("name", "what"))
    for path in sorted(BENCHMARKS.glob("*.yaml")):  # of each, its second line
        benchmarks.add_row(path.stem, [*path.read_text().splitlines(), "", ""][1].lstrip("# "))
    show(benchmarks)
    console.print(f"\nConditions: {', '.join(NAMES)}, {OR_YOUR_OWN}\n")
    show(runs(folder))


def runs(folder: Path) -> Table:
    """Return a table of the runs below a folder, with the recorded and planned samples of each set."""
    listed = plain_table(f"Runs ({folder})", ("run", "set", "samples", "model", "started"))
    for path in sorted(folder.rglob(RUN)):
        run = read_run(path.parent)
        sets = sets_of(path.parent) if any(path.parent.rglob(PLAN)) else {}  # none: it was stopped before its first
        for number, (name, out) in enumerate(sets.items()):
            done, planned = progress_of(out)
            count = f"{done:,} of {planned:,}" + ("" if done == planned else ", unfinished")
            first = (str(path.parent), run.model, run.started) if number == 0 else ("", "", "")
            listed.add_row(first[0], name, count, first[1], first[2])
    return listed
