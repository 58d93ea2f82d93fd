"""What an evaluation writes down: one line of JSON per (item, sample)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

SCHEMA = 1  # version of the records; a reader refuses others
RECORDS = "records.jsonl"

Sampled = Literal["ok", "truncated", "media_error"]  # what the sampler can say
Status = Literal["ok", "truncated", "media_error", "unparsable"]


class IncompleteError(ValueError):
    """There are fewer records than there must be, so a mean over them would be another number."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model wrote for one (example, sample), or why it could not."""

    text: str
    tokens: int = 0
    finished: bool = True  # ended by itself, not by the token limit
    status: Sampled = "ok"
    error: str | None = None
    frames: Any = None  # indices or timestamps of the frames shown, as JSON

    def __post_init__(self) -> None:
        if self.status not in get_args(Sampled):
            raise ValueError(f"completion: expected a status of {get_args(Sampled)}, found {self.status!r}")


@dataclass(frozen=True, slots=True)
class Record:
    """One line of records.jsonl."""

    item: str
    sample: int
    cluster: str  # items of one cluster are not independent
    text: str
    status: Status
    error: str | None
    tokens: int
    finished: bool
    parse: Mapping[str, Any]  # how the text was read
    scores: Mapping[str, float]  # empty where there was nothing to grade
    frames: Any = None
    schema: int = SCHEMA


def read_records(out: Path) -> list[Record]:
    """All records of a folder."""
    path = out / RECORDS
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        raise IncompleteError(f"{path}: the last line was cut off in writing; run the evaluation again to resume it")
    return [read_line(text, path, number) for number, text in enumerate(data.split(b"\n")[:-1], 1)]


def read_line(text: bytes, path: Path, number: int) -> Record:
    """One record; a ValueError that names the line if it is none."""
    where = f"{path}, line {number}"
    try:
        row = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON ({error}); delete the folder to measure again") from error
    if not isinstance(row, dict) or row.get("schema") != SCHEMA:
        found = row.get("schema") if isinstance(row, dict) else text[:40]
        raise ValueError(f"{where}: expected a record of schema {SCHEMA}, found {found!r}")
    if row.keys() != {each.name for each in fields(Record)}:
        raise ValueError(f"{where}: expected the fields of a record, found {sorted(row)}")
    return Record(**row)


def line(record: Record) -> str:
    """A record as one line of JSON."""
    return json.dumps(asdict(record), allow_nan=False) + "\n"
