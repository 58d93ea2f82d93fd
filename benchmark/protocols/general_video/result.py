"""The request of the command line, and the result of one benchmark under one condition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.protocols.general_video.lines import Line
from mmrl.evaluation import Item, Record
from mmrl.evaluation.records import FAILED


@dataclass(frozen=True)
class Asked:
    """The request of the command line."""

    names: Sequence[str]
    model: str
    data: Path
    out: Path
    conditions: Sequence[str] = ()
    partial: bool = False
    retry: bool = False
    overrides: Sequence[str] = ()
    command: str = ""


@dataclass(frozen=True)
class BenchmarkResult:
    """One benchmark under one condition."""

    name: str
    condition: str
    items: Mapping[str, Item]
    records: Sequence[Record]
    lines: Sequence[Line]
    expected: int  # of the release
    missing: tuple[str, ...] = ()  # what was left out, in words; only with --partial

    @property
    def failed(self) -> int:
        """Questions that could not be asked; they count as wrong."""
        return sum(record.status in FAILED for record in self.records)

    @property
    def partial(self) -> bool:
        """True where this is less than the release has."""
        return len(self.items) != self.expected or bool(self.missing)
