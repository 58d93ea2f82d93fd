"""``mmrl eval compare``: two runs, question by question."""

import json
from pathlib import Path

import typer

from mmrl.evaluate import compare, read_records
from mmrl.evaluate.folders import sets_of
from mmrl.evaluate.score import expected_of
from mmrl.evaluate.summary import summarise
from mmrl.progress import console
from mmrl.report import levels_as_json, levels_table
from mmrl.report.data import Levels


def compare_runs(before: Path, after: Path, scorer: str, as_json: bool) -> None:
    """Print what changed."""
    levels = compared(before, after, scorer)
    if as_json:
        typer.echo(json.dumps(levels_as_json(levels), indent=1, allow_nan=False))
    else:
        console.print(
            levels_table(levels, f"{after} after {before}, paired by item and sample; 95 % intervals by cluster")
        )


def compared(before: Path, after: Path, scorer: str) -> Levels:
    """Differences by set and metric. Both runs must have measured the same sets, wholly."""
    first, second = sets_of(before), sets_of(after)
    if len(first) == len(second) == 1:
        second = dict(zip(first, second.values(), strict=True))
    if first.keys() != second.keys():
        raise ValueError(
            f"compare: expected the same sets twice, found {sorted(first)} in {before}, {sorted(second)} in {after}"
        )
    return {name: compare(complete(first[name], scorer), complete(second[name], scorer)) for name in first}


def complete(folder: Path, scorer: str):
    """The records of a set, all of them. Raises IncompleteError if some are missing."""
    name, items, samples = expected_of(folder)
    return summarise(f"{folder} ({name})", read_records(folder, scorer), items, samples)
