"""Visual gain, temporal gain and the like of a run under several conditions, as a table and as JSON."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from mmrl.evaluation.commands.ls import show, table
from mmrl.evaluation.condition_effects import Gain, Look, gains
from mmrl.evaluation.records import IncompleteError, Record
from mmrl.evaluation.run_folder import sets_of
from mmrl.evaluation.scoring import read_items, read_records
from mmrl.evaluation.tables.levels import percent
from mmrl.runtime.files import write_whole

METRICS = ("accuracy", "lenient")  # the first of these that there is; else the first of all


def publish_gains(out: Path, folders: Mapping[str, Path]) -> None:
    """Print and write what the conditions tell. Nothing where the run has no full look among them."""
    if "full" not in folders:
        return
    found = {name: gains_of(folders, name) for name in sets_of(folders["full"]) if not name.startswith("conditions")}
    plain = {name: {"metric": metric, "gains": [asdict(g) for g in some]} for name, (metric, some) in found.items()}
    write_whole(out / "gains.json", json.dumps(plain, indent=1) + "\n")
    show(gains_table(found))


def gains_of(folders: Mapping[str, Path], name: str) -> tuple[str, list[Gain]]:
    """The metric that was taken, and all that can be derived from a set under these conditions."""
    looks = {}
    for condition, folder in folders.items():
        records = {(record.item, record.sample): record for record in read_records(folder / name)}
        looks[condition] = Look(records, read_items(folder / name))
    metric = right_by(looks["full"].records.values())
    return metric, gains(looks, metric)


def right_by(records: Iterable[Record]) -> str:
    """The metric that says what is right."""
    there = next((record.scores for record in records if record.scores), None)
    if there is None:
        raise IncompleteError("expected scores, found none")
    return next(one for one in (*METRICS, *there) if one in there)


def gains_table(found: Mapping[str, tuple[str, list[Gain]]]) -> Table:
    """A line a set and derived number."""
    made = table("\nWhat the conditions tell", ("set", "what", "of", "value", "95 % interval", "n"))
    for name, (metric, some) in found.items():
        for number, one in enumerate(some):
            interval = f"{percent(one.low)} to {percent(one.high)}"
            first = f"{name} ({metric})" if number == 0 else ""
            made.add_row(first, one.name, ", ".join(one.of), percent(one.value), interval, f"{one.n:,}")
    return made
