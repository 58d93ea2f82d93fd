"""Evaluations on disk: a run is a folder with run.json; beneath it, one folder with a plan for each evaluated set."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mmrl.evaluation.plan import PLAN, SAMPLES, read_plan
from mmrl.evaluation.records import SCHEMA, Record, Strict
from mmrl.evaluation.summary import Summary, summarise
from mmrl.runtime.files import write_json
from mmrl.runtime.json_lines import split

RUN = "run.json"
CONDITIONS = "conditions"  # the folder of a run in which further conditions lie, each with its sets


@dataclass(frozen=True, slots=True)
class RunRecord(Strict):
    """run.json: the settings, machine and counts of a run. It is written when the run starts, and again when it ends."""

    model: str
    command: str
    commit: str  # with a plus sign if files differed from it
    machine: str
    packages: dict[str, str]
    config: dict[str, Any]
    started: str  # UTC
    finished: str | None = None
    expected: dict[str, int | None] = field(default_factory=dict)  # items that there must be, by set
    scored: dict[str, int] = field(default_factory=dict)  # items that there are; fewer where limit cut a set
    statuses: dict[str, dict[str, int]] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)  # of each samples.jsonl when the run ended
    schema: int = SCHEMA


def write_run(out: Path, run: RunRecord) -> None:
    """Write run.json, whole."""
    write_json(out / RUN, asdict(run))


def read_run(out: Path) -> RunRecord:
    """Return the content of run.json. Raises ValueError, which says what is wrong with it."""
    path = out / RUN
    if not path.exists():
        raise ValueError(f"{out}: expected a run of mmrl eval, found no {RUN} in it")
    try:
        return TypeAdapter(RunRecord).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{path}: expected a run of schema {SCHEMA}; {first['loc']}: {first['msg']}") from None


def sets_of(path: Path) -> dict[str, Path]:
    """Return the evaluated sets in a folder, by their path within it. Raises ValueError if there are none."""
    if not path.is_dir():
        raise ValueError(f"expected a folder of an evaluation, found nothing at {path}")
    sets = {str(plan.parent.relative_to(path)): plan.parent for plan in sorted(path.rglob(PLAN))}
    if not sets:
        raise ValueError(f"{path}: expected a folder of an evaluation, found no {PLAN} in it or below")
    return {path.name if name == "." else name: folder for name, folder in sets.items()}


def summary_of(folder: Path, records: Sequence[Record]) -> Summary:
    """Return the summary of a set's records. Raises IncompleteError if a planned record is missing."""
    plan = read_plan(folder)
    return summarise(f"{folder} ({plan['name']})", records, plan["items"], plan["samples"])


def progress_of(folder: Path) -> tuple[int, int]:
    """Return how many samples of a set are on record, and how many are planned."""
    plan = read_plan(folder)
    path = folder / SAMPLES
    done = len(split(path.read_bytes())[0]) if path.exists() else 0
    return done, plan["items"] * plan["samples"]
