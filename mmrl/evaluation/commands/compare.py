"""``mmrl eval compare``: two runs, question by question, with the numbers by which a reader can check the difference."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from mmrl.evaluation.run_folder import sets_of, summary_of
from mmrl.evaluation.scoring import gold_text, read_items, read_records
from mmrl.evaluation.statistics import Comparison, adjust
from mmrl.evaluation.summary import compare_fully
from mmrl.evaluation.tables.levels import limits, p_value, percent, points
from mmrl.evaluation.tables.terminal import plain_table, show
from mmrl.runtime.console import console

Name = tuple[str, str]  # set, metric
COLUMNS = (
    "set", "metric", "before", "after", "points", "95 % interval", "p", "Holm", "MDE", "lost", "gained", "n", "clusters",
)  # fmt: skip


def compare_runs(before: Path, after: Path, scorer: str, as_json: bool) -> None:
    """Print the differences between two runs."""
    comparisons = compared(before, after, scorer)
    if as_json:
        content: dict[str, dict[str, Any]] = {}
        for (name, metric), comparison in comparisons.items():  # an unknown limit is null
            content.setdefault(name, {})[metric] = json.loads(
                json.dumps(asdict(comparison)), parse_constant=lambda _: None
            )
        typer.echo(json.dumps(content, indent=1, allow_nan=False))
    else:
        show(shown(comparisons, f"{after} after {before}: paired by item and sample, clustered"))
        console.print(
            "p by sign flips of clusters, Holm over this table; MDE: what these items would have shown in 4 of 5 cases"
        )


def compared(before: Path, after: Path, scorer: str) -> dict[Name, Comparison]:
    """Return differences by set and metric. Both runs must have measured the same questions, all of them."""
    first, second = sets_of(before), sets_of(after)
    if len(first) == len(second) == 1:
        second = dict(zip(first, second.values(), strict=True))
    if first.keys() != second.keys():
        raise ValueError(
            f"compare: expected the same sets twice, found {sorted(first)} in {before}, {sorted(second)} in {after}"
        )
    comparisons = {}
    for name in first:
        same_questions(first[name], second[name])
        both = (summary_of(out, read_records(out, scorer)) for out in (first[name], second[name]))
        comparisons |= {(name, metric): change for metric, change in compare_fully(*both).items()}
    return adjust(comparisons)


def same_questions(first: Path, second: Path) -> None:
    """Refuse runs in which one id stands for two questions. Its media may differ, as conditions change them."""
    one, other = read_items(first), read_items(second)
    for name in one.keys() & other.keys():
        golds = [(item.kind, gold_text(item.choices, item.answer)) for item in (one[name], other[name])]
        if golds[0] != golds[1]:
            raise ValueError(
                f"compare: item {name!r} is {golds[0]} in {first}, {golds[1]} in {second}; not the same data"
            )


def shown(comparisons: Mapping[Name, Comparison], title: str) -> Table:
    """Return a table with a line for each set and metric."""
    table, last = plain_table(title, COLUMNS), ""
    for (name, metric), comparison in comparisons.items():
        change = comparison.difference
        counts = ("", "") if comparison.discordant is None else map(str, comparison.discordant)
        table.add_row(
            name if name != last else "", metric, percent(change.before), percent(change.after), points(change.mean),
            limits(change), p_value(change.p_signflip), p_value(comparison.p_holm),
            points(comparison.mde).lstrip("+"), *counts, f"{change.n:,}", f"{change.clusters:,}",
        )  # fmt: skip
        last = name
    return table
