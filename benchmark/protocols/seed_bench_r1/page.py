"""The tables: ours by level and domain, the papers' rows beside them, and what differs in protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmark.protocols.seed_bench_r1.protocol import DOMAINS
from benchmark.protocols.seed_bench_r1.published import PUBLISHED, Row
from benchmark.tables import Cells
from mmrl.evaluation import Mean, Summary, read_items
from mmrl.evaluation.summary import columns, mean_of

NONE = "–"
READINGS = {"accuracy": "strict", "official": "official", "lenient": "lenient"}  # metric: what it is called here
COLUMNS = ("L1", "L2", "L3", *(f"L3 {name.lower()}" for name in DOMAINS))


def domains(summary: Summary, out: Path) -> dict[str, dict[str, Mean]]:
    """Return means of L3 by domain and metric; the domains of the file, those of the papers first."""
    items = read_items(out)
    named: dict[str, list] = {}
    for record in summary.records:
        named.setdefault(str(items[record.item].fields.get("domain", "none")), []).append(record)
    order = sorted(named, key=lambda name: (place(name), name))
    return {name: means(name, named[name]) for name in order}


def place(name: str) -> int:
    """Return the place of a domain among the papers'; behind them if it is none."""
    plain = [domain.casefold() for domain in DOMAINS]
    told = name.replace("_", " ").casefold()
    return plain.index(told) if told in plain else len(plain)


def means(name: str, records: Sequence) -> dict[str, Mean]:
    """Return the means of some records."""
    clusters = [record.cluster for record in records]
    return {metric: mean_of(scores, clusters) for metric, scores in columns(name, records).items()}


def ours(levels: Mapping[str, Summary], parts: Mapping[str, Mapping[str, Mean]], model: str, label: str) -> Cells:
    """Return ours in the papers' columns, a line for each reading of the answer, then consistency by rules with its coverage."""
    extra = [name for name in parts if place(name) == len(DOMAINS)]
    header = ["", "CAC (rules)", "coverage", *COLUMNS[:3], *(f"L3 {name}" for name in [*known(parts), *extra])]
    lines = []
    for metric, called in READINGS.items():
        if all(metric in summary.metrics for summary in levels.values()):
            cells = [cell(levels[level].metrics[metric]) if level in levels else NONE for level in COLUMNS[:3]]
            cells += [cell(parts[name][metric]) for name in [*known(parts), *extra]]
            lines.append([f"{model}, {called}{label}", NONE, NONE, *cells])
    for level, summary in levels.items():
        if {"consistency", "concludes"} <= summary.metrics.keys():
            rates = [cell(summary.metrics[name]) for name in ("consistency", "concludes")]
            lines.append([f"{model}, {level}{label}", *rates, *[NONE] * (len(header) - 3)])
    return header, lines


def known(parts: Mapping[str, Any]) -> list[str]:
    """Return the domains that the papers have."""
    return [name for name in parts if place(name) < len(DOMAINS)]


def cell(mean: Mean) -> str:
    """Return a mean as 42.1 [38.0, 46.2]; a range of means where something is unscored."""
    best = "" if mean.best is None else f"–{100 * mean.best:.1f}"
    return f"{100 * mean.mean:.1f}{best} [{100 * mean.low:.1f}, {100 * mean.high:.1f}]"


def theirs(rows: Sequence[Row]) -> Cells:
    """Return a paper's rows; consistency is theirs, under its own name."""
    header = ["", "consistency (GPT-4.1)", *COLUMNS]
    return header, [
        [row.name, number(row.consistency), number(row.L1), number(row.L2), number(row.L3), *parts_of(row)]
        for row in rows
    ]


def parts_of(row: Row) -> list[str]:
    """Return the four domains of a row."""
    return [NONE] * 4 if row.domains is None else [number(value) for value in row.domains]


def number(value: float | None) -> str:
    """Return a number as the paper prints it."""
    return NONE if value is None else f"{value:g}"


def as_json(
    levels: Mapping[str, Summary], parts: Mapping[str, Mapping[str, Mean]], notes: Sequence[str]
) -> dict[str, Any]:
    """Return everything that the tables show, as fractions; the papers' rows in percent, apart."""
    return {
        "levels": {
            name: {
                "expected": summary.expected,
                "scored": summary.scored,
                "n": summary.n,
                "clusters": summary.clusters,
                "statuses": dict(summary.statuses),
                "metrics": {metric: plain(mean) for metric, mean in summary.metrics.items()},
            }
            for name, summary in levels.items()
        },
        "L3_domains": {name: {metric: plain(mean) for metric, mean in found.items()} for name, found in parts.items()},
        "published_percent": {paper: [asdict(row) for row in rows] for paper, rows in PUBLISHED.items()},
        "differs": list(notes),
    }


def plain(mean: Mean) -> dict[str, Any]:
    """Return a mean as JSON; a limit that is not known is null."""
    limits = [limit if abs(limit) != float("inf") else None for limit in (mean.low, mean.high)]
    return {"mean": mean.mean, "interval": limits, "unscored": mean.unscored, "best": mean.best}
