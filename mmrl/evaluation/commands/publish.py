"""Numbers derived from a run's records, as tables and as JSON: derived.json of each set, gains.json of several conditions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmrl.evaluation.condition_effects import ConditionRecords, effects
from mmrl.evaluation.derived import derived
from mmrl.evaluation.records import IncompleteError, Record
from mmrl.evaluation.scoring import read_items, read_records
from mmrl.evaluation.summary import Summary, by_pair
from mmrl.evaluation.tables.levels import mean_as_json, percent, percents
from mmrl.evaluation.tables.terminal import plain_table, show
from mmrl.runtime.files import write_json, write_whole

METRICS = ("accuracy", "lenient")  # the first of these that exists says what is right; else the first metric


def publish_derived(out: Path, levels: Mapping[str, Summary]) -> None:
    """Print and write the derived numbers of each set."""
    content: dict[str, dict[str, Any]] = {}
    table = plain_table("\nWhat follows", ("set", "what", "value", "95 % interval"))
    for name, summary in levels.items():
        means = derived(summary.records, read_items(out / name), metric_of_right(summary.records))
        content[name] = {what: mean_as_json(mean) for what, mean in means.items()}
        for number, (what, mean) in enumerate(means.items()):
            table.add_row(name if number == 0 else "", what, percent(mean.mean), percents(mean.low, mean.high))
    write_json(out / "derived.json", content)
    if table.row_count:
        show(table)


def publish_effects(out: Path, folders: Mapping[str, Path], names: Sequence[str]) -> None:
    """Print and write the condition effects of each set; ``full`` is among the conditions, each with its folder."""
    content: dict[str, dict[str, Any]] = {}
    table = plain_table("\nWhat the conditions tell", ("set", "what", "of", "value", "95 % interval", "n"))
    for name in names:
        places = {condition: folder / name for condition, folder in folders.items()}
        conditions = {c: ConditionRecords(by_pair(read_records(at)), read_items(at)) for c, at in places.items()}
        metric = metric_of_right(conditions["full"].records.values())
        numbers = effects(conditions, metric)
        content[name] = {"metric": metric, "gains": [asdict(effect) for effect in numbers]}
        for number, effect in enumerate(numbers):
            first = f"{name} ({metric})" if number == 0 else ""
            shown = (percent(effect.value), percents(effect.low, effect.high), f"{effect.n:,}")
            table.add_row(first, effect.name, ", ".join(effect.of), *shown)
    write_whole(out / "gains.json", json.dumps(content, indent=1) + "\n")
    show(table)


def metric_of_right(records: Iterable[Record]) -> str:
    """Return the metric that decides which answers are right. Raises IncompleteError if no record has scores."""
    scores = next((record.scores for record in records if record.scores), None)
    if scores is None:
        raise IncompleteError("expected scores, found none")
    return next(metric for metric in (*METRICS, *scores) if metric in scores)
