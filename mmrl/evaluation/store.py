"""Files of records: one line of JSON each, validated when read; half-written ends are detected; rewriting is all or nothing."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from mmrl.evaluation.records import SCHEMA, IncompleteError
from mmrl.runtime.files import write_whole
from mmrl.runtime.json_lines import split

T = TypeVar("T")
adapter = cache(TypeAdapter)  # the validator of a type


def read_lines(kind: type[T], path: Path) -> list[T]:
    """Return all records of a file. Raises IncompleteError for one whose end was cut off, ValueError that names a bad line."""
    lines, torn = split(path.read_bytes())
    if torn:
        raise IncompleteError(f"{path}: the last line was cut off in writing; run the evaluation again to resume it")
    return [read_line(kind, text, path, number) for number, text in enumerate(lines, 1)]


def read_line(kind: type[T], text: bytes, path: Path, number: int) -> T:
    """Return one record. Raises ValueError, which names the line, if it is none."""
    where, name = f"{path}, line {number}", kind.__name__.lower()
    try:
        row = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON ({error}); delete the folder to measure again") from error
    if not isinstance(row, dict) or row.get("schema") != SCHEMA:
        found = row.get("schema", "none") if isinstance(row, dict) else text[:40]
        raise ValueError(
            f"{where}: expected a record of schema {SCHEMA}, found {found!r}; measure again in another folder"
        )
    try:
        return adapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{where}: expected a {name}, found {len(error.errors())} problems, the first: {place}: {first['msg']}"
        ) from None


def line(record: Any) -> str:
    """Return a record as one line of JSON. Raises ValueError for values that JSON cannot hold."""
    try:
        return json.dumps(asdict(record), allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        name = getattr(record, "id", None) or getattr(record, "item", None)
        raise ValueError(
            f"item {name!r}: expected plain JSON in its {type(record).__name__.lower()}: {error}"
        ) from error


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """Write a file of records, whole."""
    write_whole(path, "".join(map(line, records)))
