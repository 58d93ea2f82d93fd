"""Scoring of records, any number of times, without a model or a data root; each scorer has a file of verdicts."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmrl.evaluation.plan import ITEMS, SAMPLES, Pair, canonical
from mmrl.evaluation.records import FAILED, IncompleteError, Item, Record, Sample, Verdict, record_of
from mmrl.evaluation.store import read_lines, write_lines
from mmrl.runtime.files import write_json
from mmrl.types import Example, index_of

DEFAULT = "default"  # the scorer that a run comes with

Grade = Callable[[str, Example], Mapping[str, float | None]]  # by metric; None if there is no verdict
Parse = Callable[[str, Example], Mapping[str, Any]]  # its "rung" is "unparsed" if no answer was found


@dataclass(frozen=True, slots=True)
class Scorer:
    """The functions that read and grade completions."""

    grade: Grade
    parse: Parse | None = None
    name: str = DEFAULT
    facts: Mapping[str, Any] = field(default_factory=dict)  # decide the verdicts: graders, fingerprint of their code

    def __post_init__(self) -> None:
        if not self.name.replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"scorer: expected a name of letters, digits, - and _, found {self.name!r}")

    def verdict(self, item: Item, sample: Sample) -> Verdict:
        """Return the verdict on one response. Failed responses are not graded; unparsable ones are."""
        if sample.response.status in FAILED:
            return Verdict(sample.item, sample.sample, {}, {})
        text, example = sample.response.text, item.example
        read = dict(self.parse(text, example)) if self.parse is not None else {}
        scores = {name: checked(name, value, item.id) for name, value in self.grade(text, example).items()}
        return Verdict(sample.item, sample.sample, read, scores)


def checked(metric: str, value: float | None, item: str) -> float | None:
    """Return the score if it is a finite number or None. Raises ValueError for anything else."""
    if value is not None and not math.isfinite(value):
        raise ValueError(f"example {item!r}, metric {metric!r}: expected a finite number, found {value}")
    return None if value is None else float(value)


def verdicts_path(out: Path, name: str) -> Path:
    """Return the file of a scorer's verdicts; with the suffix .json, the file that describes the scorer."""
    return out / f"scores.{name}.jsonl"


def scorers_of(out: Path) -> list[str]:
    """Return the names of the scorers whose verdicts a folder holds."""
    return sorted(path.name.split(".")[1] for path in out.glob("scores.*.jsonl"))


def score(out: Path, scorer: Scorer, anew: bool = False) -> list[Record]:
    """Write the verdicts on all samples on record, in the order of the samples, and return the records.

    Earlier verdicts of this very scorer stay (a judge or a time-out may decide otherwise the next time), unless ``anew``. Those
    of other scorers do not change.
    """
    items, samples = read_items(out), read_lines(Sample, out / SAMPLES)
    earlier = {} if anew else given_before(out, scorer)
    verdicts = [earlier.get((s.item, s.sample)) or scorer.verdict(items[s.item], s) for s in samples]
    path = verdicts_path(out, scorer.name)
    write_lines(path, verdicts)
    write_json(path.with_suffix(".json"), json.loads(canonical(scorer.facts)), sort_keys=True)
    return [record_of(items[s.item], s, v) for s, v in zip(samples, verdicts, strict=True)]


def given_before(out: Path, scorer: Scorer) -> dict[Pair, Verdict]:
    """Return the recorded verdicts of this very scorer; none if it has no facts, and none on failed responses."""
    path = verdicts_path(out, scorer.name)
    facts = path.with_suffix(".json")
    if not (scorer.facts and path.exists() and facts.exists()):
        return {}
    same = json.loads(facts.read_text()) == json.loads(canonical(scorer.facts))
    return {(one.item, one.sample): one for one in read_lines(Verdict, path) if one.scores} if same else {}


def read_items(out: Path) -> dict[str, Item]:
    """Return the items of a folder by id. Raises ValueError if there are none."""
    if not (out / ITEMS).exists():
        raise ValueError(f"{out}: expected a folder of an evaluation, found no {ITEMS} in it")
    return {item.id: item for item in read_lines(Item, out / ITEMS)}


def read_records(out: Path, scorer: str = DEFAULT) -> list[Record]:
    """Return all records of a folder with one scorer's verdicts. Raises IncompleteError if the verdicts are on other samples."""
    items, samples = read_items(out), read_lines(Sample, out / SAMPLES)
    path = verdicts_path(out, scorer)
    if not path.exists():
        known = ", ".join(scorers_of(out)) or "none"
        raise ValueError(f"{out}: expected scores by {scorer!r}, found {known}; mmrl eval score {out} makes them")
    verdicts = read_lines(Verdict, path)
    if [(s.item, s.sample) for s in samples] != [(v.item, v.sample) for v in verdicts]:
        raise IncompleteError(
            f"{path}: {len(verdicts)} verdicts that do not fit {len(samples)} samples; mmrl eval score {out}"
        )
    return [record_of(items[s.item], s, v) for s, v in zip(samples, verdicts, strict=True)]


def gold_text(choices: Sequence[str], answer: str | None) -> str | None:
    """Return the text of the right option; the answer itself if it names no option."""
    place = index_of(answer.strip()[0]) if answer and answer.strip() else -1
    return choices[place] if 0 <= place < len(choices) else answer


def answers(records: Sequence[Record]) -> list[str | None]:
    """Return the answer of each record: the letter by the lenient rules, else the strict answer."""
    return [record.parse.get("extracted") or record.parse.get("answer") for record in records]
