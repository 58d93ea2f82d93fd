"""The rows of annotation files, with typed access to their fields and error messages that name file, line and field."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmrl.types import Span, letter_at

SHOWN = 10
ADVICE = "correct the row, or list its id under exclude of its set in data.sets, or set bad_rows: leave_out there"


class BadRow(ValueError):
    """A row does not match its format. The errors of a file are collected and raised together."""


@dataclass(frozen=True)
class AnnotationRow:
    """One object of an annotation file."""

    file: Path
    line: int  # from 1; in a JSON list, the item's number
    values: Mapping[str, Any]
    root: Path  # the data root

    def bad(self, field: str, expected: str, found: object, advice: str = ADVICE) -> BadRow:
        """Return the error to raise about a field."""
        return BadRow(f"{self.file}:{self.line}: {field}: expected {expected}, found {_brief(found)}; {advice}")

    def expect(self, *fields: str) -> None:
        """Raise BadRow if the row lacks one of these fields; as a rule the file then has another schema."""
        missing = [field for field in fields if field not in self.values]
        if missing:
            raise BadRow(
                f"{self.file}:{self.line}: expected a row with the fields {', '.join(fields)}; found "
                f"{', '.join(self.values) or 'none'} (missing: {', '.join(missing)}); is this the file of another release?"
            )

    def field(self, name: str, fits: Callable[[Any], bool], expected: str) -> Any:
        """Return a field's value. Raises BadRow if it is missing or ``fits`` returns False."""
        value = self.values.get(name, "no such field")
        if name not in self.values or not fits(value):
            raise self.bad(name, expected, value)
        return value

    def number(self, field: str) -> float:
        """Return a field that must be a finite number."""
        return float(self.field(field, _is_number, "a number"))

    def has(self, field: str) -> bool:
        """Return True if the field exists and is not null: tools that join files fill gaps with nulls."""
        return self.values.get(field) is not None

    def text(self, field: str) -> str:
        """Return a field that must be text and not empty."""
        return self.field(field, _is_text, "text that is not empty")

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a field that must be a list of texts that are not empty."""
        expected = "a list of texts that are not empty"
        return tuple(self.field(field, lambda value: isinstance(value, list) and all(map(_is_text, value)), expected))

    def one_of(self, field: str, allowed: Sequence[str]) -> str:
        """Return a field that must be one of the allowed words."""
        return self.field(field, lambda value: value in allowed, f"one of {', '.join(allowed)}")

    def name(self, field: str) -> str:
        """Return a field that must be an integer or text, converted to text."""
        return str(self.field(field, lambda value: type(value) is int or _is_text(value), "an integer or text"))

    def file_name(self, field: str) -> str:
        """Return a field that must be the name of a file, without folders."""
        name = self.text(field)
        if "/" in name or "\\" in name or name in (".", ".."):
            raise self.bad(field, "a file name without folders", name)
        return name

    def span(self, first: str, last: str, unit: Literal["seconds", "frames"]) -> Span:
        """Return the part of a video between two fields."""
        start, end = self.number(first), self.number(last)
        if not 0 <= start <= end:
            raise self.bad(f"{first}, {last}", f"{unit} with 0 <= start <= end", (start, end))
        return Span(start, end, unit)

    def distinct(self, field: str, texts: Sequence[str]) -> None:
        """Raise BadRow if two options are equal, because two letters would be right."""
        twice = sorted({text for text in texts if texts.count(text) > 1})
        if twice:
            raise self.bad(field, "options that differ", f"{twice[0]!r} more than once")

    def letter(self, field: str, value: str, options: int) -> str:
        """Return a letter. Raises BadRow if it names none of the options."""
        letters = [letter_at(index) for index in range(options)]
        if value not in letters:
            raise self.bad(field, f"one of the letters {', '.join(letters)}", value)
        return value


def read_rows(path: Path, root: Path) -> Iterator[AnnotationRow | BadRow]:
    """Yield the rows of a ``.jsonl`` file (one object per line, empty lines are skipped) or a ``.json`` file (a list of objects)."""
    if not path.is_file():
        raise ValueError(f"{path}: expected an annotation file, found nothing there; check data.root and annotations")
    for line, item in _items(path, path.read_text(encoding="utf-8-sig")):
        if isinstance(item, dict):
            yield AnnotationRow(path, line, item, root)
        elif isinstance(item, BadRow):
            yield item
        else:
            yield BadRow(f"{path}:{line}: expected a JSON object, found {_brief(item)}; correct the line")


def bad_rows_error(path: Path, bad: Sequence[BadRow]) -> ValueError:
    """Return one error for all bad rows of a file."""
    shown = "\n  ".join(str(row) for row in bad[:SHOWN])
    rest = f"\n  and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    return ValueError(f"{path}: {len(bad)} bad rows:\n  {shown}{rest}")


def _items(path: Path, text: str) -> Iterator[tuple[int, object]]:
    """Yield (number, value) for each line or each item of the list; the value is a BadRow for a line that is not JSON."""
    if text.lstrip().startswith("["):
        try:
            yield from enumerate(json.loads(text), start=1)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}:{error.lineno}: expected a JSON list, found {error.msg}; correct the file"
            ) from None
        return
    for line, content in enumerate(text.split("\n"), start=1):  # not splitlines: text may hold other separators
        if content.strip():
            try:
                yield line, json.loads(content)
            except json.JSONDecodeError as error:
                found = f"{_brief(content)} ({error})"
                yield line, BadRow(f"{path}:{line}: expected one JSON object, found {found}; correct the line")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _brief(found: object) -> str:
    text = found if isinstance(found, str) else repr(found)
    return text if len(text) <= 120 else text[:120] + "..."
