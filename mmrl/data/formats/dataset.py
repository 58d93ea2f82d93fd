"""Datasets: a file of annotations as a sequence of examples."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from mmrl.data.formats.rows import AnnotationRow, BadRow, bad_rows_error, read_rows
from mmrl.types import Example

logger = logging.getLogger(__name__)


@runtime_checkable
class Dataset(Protocol):
    """Questions in a fixed order."""

    ids: Sequence[str]

    def __len__(self) -> int: ...

    def example(self, index: int, epoch: int) -> Example:
        """Return the example. It may depend on the epoch (options are drawn again), as a function of (seed, epoch, id) only."""
        ...


@dataclass(frozen=True)
class Annotations(ABC):
    """A file of annotations in some format. Each format is a subclass that converts rows; ``open`` loads the file."""

    columns: ClassVar[tuple[str, ...]] = ()  # the fields that every row of the format has
    id_field: ClassVar[str] = ""

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
        """Load and check the file. Raises one ValueError that names all its bad rows."""
        return FileDataset(self, Path(root))

    def rows(self, path: Path, root: Path) -> Iterable[AnnotationRow | BadRow]:
        """Return the rows of the file. Formats with nested rows override it."""
        return read_rows(path, root)

    def identify(self, row: AnnotationRow) -> str:
        """Return the row's id in its file; if the format has no ids, the file's name and the row's number."""
        return row.name(self.id_field) if self.id_field else f"{row.file.stem}-{row.line}"

    @abstractmethod
    def convert(self, row: AnnotationRow, epoch: int) -> dict[str, Any]:
        """Return the row's content as keyword arguments of `Example`. Raises BadRow."""

    def name(self, row: AnnotationRow) -> str:
        """Return the example's id. Raises BadRow."""
        try:
            return self.prefix + self.identify(row)
        except BadRow:
            row.expect(*self.columns)  # its message is more helpful if the file has another schema
            raise

    def example(self, row: AnnotationRow, epoch: int) -> Example:
        """Return the row as an example. Raises BadRow."""
        row.expect(*self.columns)
        return Example(id=self.name(row), fields=row.values, **self.convert(row, epoch))


class FileDataset:
    """The examples of one file. It stores rows, and converts a row to an example at each request."""

    def __init__(self, source: Annotations, root: Path) -> None:
        self.source = source
        self.path = root / source.annotations
        self._rows = self._read(source.rows(self.path, root))[: source.limit]
        self.ids = tuple(source.name(row) for row in self._rows)
        if not self._rows:
            raise ValueError(f"{self.path}: expected examples, found none; check limit ({source.limit}) and exclude")

    def __len__(self) -> int:
        return len(self._rows)

    def example(self, index: int, epoch: int) -> Example:
        """Return the example at ``index`` as it is in ``epoch``."""
        return self.source.example(self._rows[index], epoch)

    def _read(self, rows: Iterable[AnnotationRow | BadRow]) -> list[AnnotationRow]:
        """Return the rows that are not excluded and can be converted. Raises one ValueError for all others."""
        names, excluded = [], set(self.source.exclude)
        good: dict[str, AnnotationRow] = {}
        bad: list[BadRow] = []
        for row in rows:
            try:
                if isinstance(row, BadRow):
                    raise row
                names.append(self.source.name(row))
                if names[-1] not in excluded:
                    good[names[-1]] = self._checked(row, good.get(names[-1]))
            except BadRow as error:
                bad.append(error)
        self._refuse_unknown(names)
        if bad and self.source.bad_rows == "error":
            raise bad_rows_error(self.path, bad)
        if bad:
            logger.warning("left out: %s", bad_rows_error(self.path, bad))
        return list(good.values())

    def _checked(self, row: AnnotationRow, namesake: AnnotationRow | None) -> AnnotationRow:
        """Return the row. Raises BadRow if it cannot be converted, or if ``namesake`` has the same id."""
        example = self.source.example(row, 0)
        if namesake is not None:
            raise row.bad("id", "an id of its own", f"{example.id}, as in line {namesake.line}", "make ids unique")
        return row

    def _refuse_unknown(self, names: Sequence[str]) -> None:
        """Raise ValueError if ``exclude`` has an id that no row has."""
        unknown = sorted(set(self.source.exclude).difference(names))
        if unknown:
            raise ValueError(
                f"data.sets exclude: expected ids of {self.path}, found {', '.join(unknown[:10])} ({len(unknown)} unknown); "
                f"ids look like {next(iter(names), '')!r}"
            )
