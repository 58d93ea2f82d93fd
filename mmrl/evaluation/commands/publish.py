"""Numbers derived from a run's records, as tables and as JSON: derived.json of each set, gains.json of several conditions."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from mmrl.evaluation.condition_effects import ConditionRecords, Effect, effects
from mmrl.evaluation.derived import derived
from mmrl.evaluation.records import IncompleteError, Record
from mmrl.evaluation.run_folder import CONDITIONS, sets_of
from mmrl.evaluation.scoring import read_items, read_records
from mmrl.evaluation.summary import Mean, Summary
from mmrl.evaluation.tables.levels import percent
from mmrl.evaluation.tables.summaries import mean_as_json
from mmrl.evaluation.tables.terminal import plain_table, show
from mmrl.runtime.files import write_json, write_whole

METRICS = ("accuracy", "lenient")  # the first of these that there is says what is right; else the first of all


def publish_derived(out: Path, levels: Mapping[str, Summary]) -> None:
    """Print and write what follows from the records of each set beside its means."""
    by_set = {
        name: derived(summary.records, read_items(out / name), metric_of_right(summary.records))
        for name, summary in levels.items()
    }
    content = {name: {what: mean_as_json(mean) for what, mean in means.items()} for name, means in by_set.items()}
    write_json(out / "derived.json", content)
    table = derived_table(by_set)
    if table.row_count:
        show(table)


def derived_table(by_set: Mapping[str, Mapping[str, Mean]]) -> Table:
    """Return a table with a line for each set and derived number."""
    table = plain_table("\nWhat follows", ("set", "what", "value", "95 % interval"))
    for name, means in by_set.items():
        for number, (what, mean) in enumerate(means.items()):
            limits = f"{percent(mean.low)} to {percent(mean.high)}"
            table.add_row(name if number == 0 else "", what, percent(mean.mean), limits)
    return table


def publish_effects(out: Path, folders: Mapping[str, Path]) -> None:
    """Print and write what the conditions say of each set, by the folder of each condition; nothing without ``full``."""
    if "full" not in folders:
        return
    sets = [name for name in sets_of(folders["full"]) if Path(name).parts[0] != CONDITIONS]
    by_set = {name: effects_of(folders, name) for name in sets}
    content = {
        name: {"metric": metric, "gains": [asdict(effect) for effect in found]}
        for name, (metric, found) in by_set.items()
    }
    write_whole(out / "gains.json", json.dumps(content, indent=1) + "\n")
    show(effects_table(by_set))


def effects_of(folders: Mapping[str, Path], name: str) -> tuple[str, list[Effect]]:
    """Return the metric that says what is right, and all that can be derived from a set under these conditions."""
    conditions = {}
    for condition, folder in folders.items():
        records = {(record.item, record.sample): record for record in read_records(folder / name)}
        conditions[condition] = ConditionRecords(records, read_items(folder / name))
    metric = metric_of_right(conditions["full"].records.values())
    return metric, effects(conditions, metric)


def metric_of_right(records: Iterable[Record]) -> str:
    """Return the metric that says what is right. Raises IncompleteError where no record has scores."""
    scores = next((record.scores for record in records if record.scores), None)
    if scores is None:
        raise IncompleteError("expected scores, found none")
    return next(metric for metric in (*METRICS, *scores) if metric in scores)


def effects_table(by_set: Mapping[str, tuple[str, list[Effect]]]) -> Table:
    """Return a table with a line for each set and derived number."""
    table = plain_table("\nWhat the conditions tell", ("set", "what", "of", "value", "95 % interval", "n"))
    for name, (metric, found) in by_set.items():
        for number, effect in enumerate(found):
            interval = f"{percent(effect.low)} to {percent(effect.high)}"
            first = f"{name} ({metric})" if number == 0 else ""
            table.add_row(first, effect.name, ", ".join(effect.of), percent(effect.value), interval, f"{effect.n:,}")
    return table
