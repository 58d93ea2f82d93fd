"""What follows from a run's records beside its means, as a table and as JSON."""

from collections.abc import Mapping
from pathlib import Path

from mmrl.evaluation.commands.ls import show, table
from mmrl.evaluation.commands.print_effects import right_by
from mmrl.evaluation.derived import derived
from mmrl.evaluation.evaluator import mean_as_json
from mmrl.evaluation.scoring import read_items
from mmrl.evaluation.summary import Summary
from mmrl.evaluation.tables.levels import percent
from mmrl.runtime.files import write_json


def publish_derived(out: Path, levels: Mapping[str, Summary]) -> None:
    """Print and write it."""
    found = {
        name: derived(summary.records, read_items(out / name), right_by(summary.records))
        for name, summary in levels.items()
    }
    plain = {name: {what: mean_as_json(mean) for what, mean in some.items()} for name, some in found.items()}
    write_json(out / "derived.json", plain)
    made = table("\nWhat follows", ("set", "what", "value", "95 % interval"))
    for name, some in found.items():
        for number, (what, mean) in enumerate(some.items()):
            limits = f"{percent(mean.low)} to {percent(mean.high)}"
            made.add_row(name if number == 0 else "", what, percent(mean.mean), limits)
    if made.row_count:
        show(made)
