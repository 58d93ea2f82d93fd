"""python -m benchmark seed_bench_r1: measure, print the tables, write them down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.protocols.seed_bench_r1.page import as_json, domains, ours, theirs
from benchmark.protocols.seed_bench_r1.protocol import check_counts, configured, world
from benchmark.protocols.seed_bench_r1.published import PUBLISHED, differs
from benchmark.tables import record, show, terminal
from mmrl.config.schema import EvalConfig
from mmrl.evaluation import Summary
from mmrl.evaluation.commands.run import run as measure
from mmrl.runtime.files import write_json


@dataclass(frozen=True)
class Asked:
    """The request of the command line."""

    model: str
    data: Path
    out: Path
    conditions: Sequence[str] = ()
    partial: int | None = None
    retry: bool = False
    overrides: Sequence[str] = field(default=())
    command: str = ""


def run(asked: Asked) -> int:
    """Measure and publish. Return the exit status: 1 where the table is partial or a question could not be asked."""
    out = asked.out if asked.partial is None else asked.out.with_name(f"{asked.out.name}.partial")
    config = configured(asked.model, asked.data, out, asked.partial, asked.overrides)
    check_counts(config)
    levels, status = measure(config, asked.conditions, asked.retry, f"python -m benchmark {asked.command}")
    label = "" if asked.partial is None else f", PARTIAL: the first {asked.partial} of each level"
    publish(levels, config, Path(asked.model).name, label, world(asked.data) is not None, asked.command)
    return 1 if asked.partial is not None else status


def publish(levels: Mapping[str, Summary], config: EvalConfig, model: str, label: str, toy: bool, command: str) -> None:
    """Print and write the tables."""
    out = Path(config.out)
    parts = domains(levels["L3"], out / "L3") if "L3" in levels else {}
    notes = differs(config, toy)
    what = "ProcBench in SEED-Bench-R1's layout" if toy else "SEED-Bench-R1"
    show(terminal(ours(levels, parts, model, label), f"{what}, in percent, 95 % intervals{label}"))
    for paper, rows in PUBLISHED.items():
        show(terminal(theirs(rows), f"\nAs published: {paper}"))
    show("\nWhat differs:\n" + "\n".join(f"- {note}" for note in notes))
    write_json(out / "seed_bench_r1.json", record(command, partial=bool(label), **as_json(levels, parts, notes)))
