"""Files of records: one line of JSON each, validated when read; half-written ends are seen; rewriting is all or nothing."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from mmrl.evaluation.records import SCHEMA, IncompleteError

T = TypeVar("T")


def read_lines(kind: type[T], path: Path) -> list[T]:
    """Return all records of a file. Raises IncompleteError for one whose end was cut off, ValueError that names a bad line."""
    lines, rest = split(path.read_bytes())
    if rest:
        raise IncompleteError(f"{path}: the last line was cut off in writing; run the evaluation again to resume it")
    return [read_line(kind, text, path, number) for number, text in enumerate(lines, 1)]


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """Return whole lines, and what stands behind the last line's end because it was cut off in writing."""
    *lines, rest = data.split(b"\n")
    return lines, rest


def read_line(kind: type[T], text: bytes, path: Path, number: int) -> T:
    """Return one record. Raises ValueError that names the line if it is none."""
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


@cache
def adapter(kind: type) -> TypeAdapter:
    """Return the validator of a type."""
    return TypeAdapter(kind)


def line(record: Any) -> str:
    """Return a record as one line of JSON. Raises ValueError for what JSON cannot hold."""
    try:
        return json.dumps(asdict(record), allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        name = getattr(record, "id", None) or getattr(record, "item", None)
        raise ValueError(
            f"item {name!r}: expected plain JSON in its {type(record).__name__.lower()}: {error}"
        ) from error


def write_whole(path: Path, text: str) -> None:
    """Write a file so that whoever sees it sees all of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """Write records as lines of JSON, whole."""
    write_whole(path, "".join(map(line, records)))


def sha256_of(path: Path) -> str:
    """The hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
