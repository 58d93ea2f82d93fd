"""Examples by number: what a file of annotations is to the rest of mmrl."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from mmrl.data.formats.rows import AnnotationRow, BadRow, bad_rows_error, read_rows
from mmrl.types import Example

logger = logging.getLogger(__name__)


@runtime_checkable
class Dataset(Protocol):
    """Questions in a fixed order."""

    ids: Sequence[str]

    def __len__(self) -> int: ...

    def example(self, index: int, epoch: int) -> Example:
        """Return the example. Epochs may differ (options drawn anew), as a function of (seed, epoch, id) alone."""
        ...


@dataclass(frozen=True)
class Annotations(ABC):
    """A file of annotations in some format. Each format is a subclass that says what a row is; ``open`` reads it."""

    annotations: str  # the file, from the data root or absolute
    _: KW_ONLY
    media: str = ""  # the folder inside the data root from which the file's media paths start
    prefix: str = ""  # put before each id, to tell files apart whose ids overlap
    limit: int | None = None  # the first so many examples
    exclude: tuple[str, ...] = ()  # ids, with the prefix, that are left out
    bad_rows: Literal["error", "leave_out"] = "error"

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"data.sets limit: expected 1 or more (or none), found {self.limit}")

    def open(self, root: Path) -> "FileDataset":
        """Return all of the file, read and checked. Raises one ValueError that names its bad rows."""
        return FileDataset(self, Path(root))

    def rows(self, path: Path, root: Path) -> Iterable[AnnotationRow | BadRow]:
        """Return the rows of the file. Overridden by formats that nest them."""
        return read_rows(path, root)

    @abstractmethod
    def identify(self, row: AnnotationRow) -> str:
        """Return the row's id in its file."""

    @abstractmethod
    def convert(self, row: AnnotationRow, epoch: int) -> Example:
        """Return the row as an example; its id is ``name(row)``. Raises BadRow."""

    def name(self, row: AnnotationRow) -> str:
        """Return the example's id."""
        return self.prefix + self.identify(row)


class FileDataset:
    """The examples of one file. Keeps rows and makes examples of them when asked."""

    def __init__(self, source: Annotations, root: Path) -> None:
        self.source = source
        self.path = root / source.annotations
        rows = self._good(self._not_excluded(list(source.rows(self.path, root))))
        self._rows = rows[: source.limit]
        self.ids = tuple(source.name(row) for row in self._rows)
        if not self._rows:
            raise ValueError(f"{self.path}: expected examples, found none; check limit ({source.limit}) and exclude")

    def __len__(self) -> int:
        return len(self._rows)

    def example(self, index: int, epoch: int) -> Example:
        """Return the example at ``index`` as it is in ``epoch``."""
        return self.source.convert(self._rows[index], epoch)

    def _not_excluded(self, rows: list[AnnotationRow | BadRow]) -> list[AnnotationRow | BadRow]:
        excluded = set(self.source.exclude)
        names = [self._name(row) for row in rows]
        unknown = sorted(excluded.difference(names))
        if unknown:
            raise ValueError(
                f"data.sets exclude: expected ids of {self.path}, found {', '.join(unknown[:10])} ({len(unknown)} unknown); "
                f"ids look like {next((name for name in names if name), '')!r}"
            )
        return [row for row, name in zip(rows, names, strict=True) if name not in excluded]

    def _name(self, row: AnnotationRow | BadRow) -> str:
        if isinstance(row, BadRow):
            return ""
        try:
            return self.source.name(row)
        except BadRow:  # reported by _check, which is next
            return ""

    def _good(self, rows: list[AnnotationRow | BadRow]) -> list[AnnotationRow]:
        good, bad, lines = [], [], {}
        for row in rows:
            try:
                good.append(self._check(row, lines))
            except BadRow as error:
                bad.append(error)
        if bad and self.source.bad_rows == "error":
            raise bad_rows_error(self.path, bad)
        if bad:
            logger.warning("left out: %s", bad_rows_error(self.path, bad))
        return good

    def _check(self, row: AnnotationRow | BadRow, lines: dict[str, int]) -> AnnotationRow:
        """Return the row, if an example can be made of it and its id is its own.

        ``lines`` collects where each id stands.
        """
        if isinstance(row, BadRow):
            raise row
        example = self.source.convert(row, 0)
        if example.id in lines:
            raise row.bad("id", "an id of its own", f"{example.id}, as in line {lines[example.id]}", "make ids unique")
        lines[example.id] = row.line
        return row
