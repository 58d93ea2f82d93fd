"""The tables as they are printed and kept."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmark.protocols.general_video.lines import Line
from benchmark.protocols.general_video.protocol import Protocol
from benchmark.protocols.general_video.protocols import PROTOCOLS
from benchmark.protocols.general_video.result import Asked, BenchmarkResult
from benchmark.tables import Cells, record, terminal
from benchmark.tables import show as show_table
from mmrl.evaluation import compare
from mmrl.evaluation.condition_effects import ConditionRecords, effects
from mmrl.runtime.files import write_json

OURS = "lenient"  # the reading that gains are made of


def show(found: Sequence[BenchmarkResult]) -> None:
    """Print a table for each condition, and the differences of each from the first."""
    for one in found:
        protocol = PROTOCOLS[one.name]
        show_table(title(one, protocol))
        show_table(terminal(cells(one.lines, protocol), words=2))
        for words in notes(one, protocol):
            show_table(words)
    for other in found[1:]:
        show_table(f"\n{other.condition} minus full, paired by item")
        show_table(terminal(changes(found[0], other), words=1))
    if len(found) > 1:
        show_table("")
        show_table(terminal(told_by_conditions(found), words=2))


def told_by_conditions(found: Sequence[BenchmarkResult]) -> Cells:
    """Return visual and temporal gain, TSS and RR, of our own reading."""
    conditions = {
        one.condition: ConditionRecords({(r.item, r.sample): r for r in one.records}, one.items) for one in found
    }
    rows = [
        [
            one.name,
            ", ".join(one.of),
            f"{100 * one.value:+.1f}",
            f"{100 * one.low:+.1f} to {100 * one.high:+.1f}",
            f"{one.n:,}",
        ]
        for one in effects(conditions, OURS)
    ]
    return ["what the conditions tell (ours)", "of", "value", "95 %", "n"], rows


def title(one: BenchmarkResult, protocol: Protocol) -> str:
    """Return the title: the benchmark, how much of it, and the condition."""
    size = f"{len(one.items):,} items"
    if one.partial:
        size = f"PARTIAL: {len(one.items):,} of {one.expected:,} items, not the benchmark's number"
    return f"\n{protocol.title}: {size}, {one.condition}"


def cells(found: Sequence[Line], protocol: Protocol) -> Cells:
    """Return group, items, and for each reading percent with its 95 % interval over clusters."""
    header = ["", "group", "items"]
    for name in protocol.columns.values():
        header += [name, "95 %"]
    return header, [[line.division, line.group, f"{line.items:,}", *numbers(line, protocol)] for line in found]


def numbers(line: Line, protocol: Protocol) -> list[str]:
    """Return percent and interval of each reading."""
    shown = []
    for metric in protocol.columns:
        mean, low, high = line.means[metric]
        shown += [f"{100 * mean:.1f}", f"{100 * low:.1f} to {100 * high:.1f}"]
    return shown


def notes(one: BenchmarkResult, protocol: Protocol) -> list[str]:
    """Return what differs from the paper's protocol, and what others report."""
    said = [f"Differs from the paper: {protocol.differs}"] if protocol.differs else []
    if protocol.published and one.condition == "full":
        rows = ", ".join(f"{model} {value}" for model, value in protocol.published.items())
        said.append(
            f"Reported in 2506.16141, table 4 (32 frames, scored as in the column {protocol.columns['official']}): {rows}"
        )
    statuses = sorted({record.status for record in one.records} - {"ok"})
    counts = ", ".join(f"{status} {sum(r.status == status for r in one.records):,}" for status in statuses)
    return said + ([f"Responses that are not plain: {counts}"] if counts else [])


def changes(full: BenchmarkResult, other: BenchmarkResult) -> Cells:
    """Return the change that a condition makes, by metric."""
    found = compare(full.records, other.records)
    wanted = PROTOCOLS[full.name].columns
    rows = [
        [wanted[metric], f"{100 * one.mean:+.1f}", f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"]
        for metric, one in found.items()
        if metric in wanted
    ]
    return ["reading", "change", "95 %"], rows


def write(path: Path, found: Sequence[BenchmarkResult], asked: Asked) -> None:
    """Write the tables as JSON, with all digits."""
    write_json(path, record(f"general_video {asked.command}".strip(), tables=[as_json(one) for one in found]))


def as_json(one: BenchmarkResult) -> Mapping[str, Any]:
    """Return one table as JSON has it."""
    return {
        "benchmark": one.name,
        "condition": one.condition,
        "items": len(one.items),
        "expected": one.expected,
        "partial": one.partial,
        "failed": one.failed,
        "loader": PROTOCOLS[one.name].loader,
        "lines": [asdict(line) for line in one.lines],
    }
