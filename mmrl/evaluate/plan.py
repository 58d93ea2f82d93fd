"""What is to be measured, and how much of it is on record already."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrl.evaluate.records import RECORDS, SCHEMA, read_line
from mmrl.types import Example

PLAN = "plan.json"


class PlanError(ValueError):
    """The folder holds records of another measurement."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured, in order."""

    name: str
    examples: Sequence[Example]
    samples: int
    batch: int
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not self.examples or self.samples < 1 or self.batch < 1:
            found = f"{len(self.examples)} examples, {self.samples} samples, a batch of {self.batch}"
            raise ValueError(f"evaluation {self.name!r}: expected at least one of each, found {found}")
        twice = [item for item, times in Counter(example.id for example in self.examples).items() if times > 1]
        if twice:
            raise ValueError(f"evaluation {self.name!r}: {len(twice)} ids occur more than once, such as {twice[0]!r}")

    @property
    def pairs(self) -> list[tuple[Example, int]]:
        """Every (example, sample id); the samples of an example stand together."""
        return [(example, sample) for example in self.examples for sample in range(self.samples)]

    @property
    def facts(self) -> dict[str, Any]:
        """What must be the same when a run is resumed."""
        asked = [[e.id, e.cluster, e.question, e.answer, e.kind, e.choices, media(e)] for e in self.examples]
        return {
            "schema": SCHEMA,
            "name": self.name,
            "items": len(self.examples),
            "samples": self.samples,
            "batch": self.batch,
            "examples": hashlib.sha256(canonical(asked).encode()).hexdigest(),
            "settings": json.loads(canonical(self.settings)),
        }


def resume(plan: Plan, out: Path) -> int:
    """How many pairs are on record. Writes the plan; cuts a half-written batch off the records."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / RECORDS
    if not path.exists() or path.stat().st_size == 0:
        (out / PLAN).write_text(json.dumps(plan.facts, indent=1, sort_keys=True) + "\n")
        return 0
    same_plan(plan.facts, out)
    data = path.read_bytes()
    lines = data.split(b"\n")[:-1]  # what stands behind the last line's end was cut off in writing
    pairs = plan.pairs
    whole = len(pairs) if len(lines) == len(pairs) else len(lines) // plan.batch * plan.batch
    for number, (text, (example, sample)) in enumerate(zip(lines[:whole], pairs, strict=False), 1):
        found = read_line(text, path, number)
        if (found.item, found.sample) != (example.id, sample):
            where = f"{path}, line {number}: expected item {example.id!r} sample {sample}"
            raise PlanError(f"{where}, found {found.item!r} sample {found.sample}; move the folder away")
    kept = sum(len(text) + 1 for text in lines[:whole])
    if kept < len(data):
        with path.open("r+b") as file:
            file.truncate(kept)
    return whole


def same_plan(facts: Mapping[str, Any], out: Path) -> None:
    """Raise a PlanError that names what differs, if the folder's records were made by another plan."""
    path = out / PLAN
    if not path.exists():
        raise PlanError(f"{out} has {RECORDS} but no {PLAN}, so nobody knows what they measure; give another folder")
    before = json.loads(path.read_text())
    differ = [key for key in sorted({*facts, *before}) if facts.get(key) != before.get(key)]
    if differ:
        what = "; ".join(f"{key}: there {before.get(key)!r}, now {facts.get(key)!r}" for key in differ)
        raise PlanError(f"{out} holds another measurement ({what}); give another folder, or delete this one to redo it")


def media(example: Example) -> list[str]:
    """The names of the example's files; not where they lie, which may differ between machines."""
    return [each.path.name for each in example.every_media]


def canonical(value: Any) -> str:
    """JSON that is the same for equal values; paths and the like as text."""
    return json.dumps(value, sort_keys=True, default=str)
