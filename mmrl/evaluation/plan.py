"""The plan of a measurement, and the samples of it that are on record."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from mmrl.evaluation.records import FAILED, SCHEMA, Sample, item_of
from mmrl.evaluation.store import line, read_line
from mmrl.runtime.files import sha256, write_json, write_whole
from mmrl.runtime.json_lines import split
from mmrl.runtime.lock import LockedError, lock_or_refuse
from mmrl.types import Example

PLAN, ITEMS, SAMPLES = "plan.json", "items.jsonl", "samples.jsonl"
HASH = "items_sha256"  # in the plan, for the audit

Pair = tuple[str, int]  # item and sample id


class PlanError(ValueError):
    """The folder holds records of another measurement."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The questions, samples and settings of a measurement, in order."""

    name: str
    examples: Sequence[Example]
    _: KW_ONLY
    samples: int = 1  # completions an example
    batch: int = 8  # (example, sample) pairs sampled together; a batch that was not finished is generated again, whole
    settings: Mapping[str, Any] = field(default_factory=dict)  # all that decides the texts: weights, decoding, frames

    def __post_init__(self) -> None:
        if not self.examples or self.samples < 1 or self.batch < 1:
            found = f"{len(self.examples)} examples, {self.samples} samples, a batch of {self.batch}"
            raise ValueError(f"evaluation {self.name!r}: expected at least one of each, found {found}")
        twice = [item for item, times in Counter(example.id for example in self.examples).items() if times > 1]
        if twice:
            raise ValueError(f"evaluation {self.name!r}: {len(twice)} ids occur more than once, such as {twice[0]!r}")

    @property
    def pairs(self) -> list[Pair]:
        """Return the id of every item with each of its sample ids; the samples of an item are neighbours."""
        return [(example.id, sample) for example in self.examples for sample in range(self.samples)]

    @property
    def batches(self) -> list[list[tuple[Example, int]]]:
        """Return the pairs in the batches that are generated together, also after an interruption: rounding depends on a batch."""
        pairs = [(example, sample) for example in self.examples for sample in range(self.samples)]
        return [pairs[start : start + self.batch] for start in range(0, len(pairs), self.batch)]

    def facts(self, items: str) -> dict[str, Any]:
        """Return the facts that must be the same when a run is resumed. The folders of media may differ between machines."""
        asked = [
            [e.id, e.cluster, e.question, e.answer, e.kind, e.choices, chat_words(e), files(e)] for e in self.examples
        ]
        return {
            "schema": SCHEMA,
            "name": self.name,
            "items": len(self.examples),
            "samples": self.samples,
            "batch": self.batch,
            "examples": sha256(canonical(asked)),
            HASH: sha256(items),
            "settings": json.loads(canonical(self.settings)),
        }


def open_plan(plan: Plan, out: Path) -> None:
    """Write the plan and its items, or refuse a folder that holds another measurement."""
    out.mkdir(parents=True, exist_ok=True)
    samples, items = out / SAMPLES, "".join(line(item_of(example)) for example in plan.examples)
    facts = plan.facts(items)
    if samples.exists() and samples.stat().st_size:
        same_plan(facts, out)
    write_whole(out / ITEMS, items)
    write_json(out / PLAN, facts, sort_keys=True)


def recorded(plan: Plan, out: Path, retry: bool = False) -> dict[Pair, Sample]:
    """Return the samples of whole batches that are on record; cut a half-written end off the file.

    retry: batches in which something failed count as not done.
    """
    path = out / SAMPLES
    data = path.read_bytes() if path.exists() else b""
    wanted = set(plan.pairs)
    found: dict[Pair, Sample] = {}
    for number, text in enumerate(split(data)[0], 1):
        one = read_line(Sample, text, path, number)
        pair = (one.item, one.sample)
        if pair not in wanted or pair in found:
            what = "a second record of" if pair in found else "no such thing in the plan:"
            raise PlanError(
                f"{path}, line {number}: {what} item {one.item!r} sample {one.sample}; move the folder away"
            )
        found[pair] = one
    whole = {pair: found[pair] for batch in complete_batches(plan, found, retry) for pair in batch}
    text = "".join(line(one) for one in whole.values())
    if text.encode() != data:
        write_whole(path, text)
    return whole


def complete_batches(plan: Plan, found: Mapping[Pair, Sample], retry: bool) -> Iterator[list[Pair]]:
    """Yield the batches whose samples are all on record."""
    for batch in plan.batches:
        pairs = [(example.id, sample) for example, sample in batch]
        if all(p in found for p in pairs) and not (retry and any(found[p].response.status in FAILED for p in pairs)):
            yield pairs


def same_plan(facts: Mapping[str, Any], out: Path) -> None:
    """Raise a PlanError that names what differs, if the folder's records were made by another plan."""
    before = read_plan(out)
    differ = [key for key in sorted({*facts, *before} - {HASH}) if facts.get(key) != before.get(key)]
    if differ:
        what = "; ".join(f"{key}: {describe_difference(before.get(key), facts.get(key))}" for key in differ)
        raise PlanError(f"{out} holds another measurement ({what}); give another folder, or delete this one to redo it")


def read_plan(out: Path) -> dict[str, Any]:
    """Return the plan of a folder of records. Raises PlanError if there is none, or if its schema is another one."""
    path = out / PLAN
    if not path.exists():
        raise PlanError(f"{out} has {SAMPLES} but no {PLAN}, so nobody knows what they measure; give another folder")
    facts = json.loads(path.read_text())
    if facts.get("schema") != SCHEMA:
        raise PlanError(
            f"{path}: expected a plan of schema {SCHEMA}, found {facts.get('schema')!r}; give another folder"
        )
    return facts


def describe_difference(before: Any, now: Any) -> str:
    """Return a text about a difference; for two mappings only the keys that differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
        return ", ".join(f"{key}: {describe_difference(before.get(key), now.get(key))}" for key in keys)
    return f"there {before!r}, now {now!r}"


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Lock the folder, so that no other process writes into it. The lock ends with the process."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        with lock_or_refuse(out / ".lock"):
            yield
    except LockedError as error:
        raise PlanError(str(error)) from None


def files(example: Example) -> list[Any]:
    """Return the names and spans of the example's files, without folders, which may differ between machines."""
    return [[each.path.name, str(each.span)] if each.span else each.path.name for each in example.every_media]


def chat_words(example: Example) -> list[Any]:
    """Return the text of a ready-made chat."""
    return [[m.role, [part for part in m.content if isinstance(part, str)]] for m in example.messages]


def canonical(value: Any) -> str:
    """Return JSON that is the same for equal values; paths and the like as text."""
    return json.dumps(value, sort_keys=True, default=str)
