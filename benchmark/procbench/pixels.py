"""The pixel oracle on a rendered benchmark: what is left of 100 % by codec, sampling and reader."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from benchmark.procbench.audit import interval
from benchmark.procbench.pixel_oracle import read_item
from mmrl.data.media.decoders import has_decord
from mmrl.world.files import rows_in
from mmrl.world.render import Dial

LEVELS = ("L1", "L2", "L3")
OCTET_ROWS = 8


@dataclass(frozen=True, slots=True)
class Reached:
    """The accuracy that the oracle reaches on a level with one reader and number of frames."""

    level: str
    reader: str
    frames: int
    accuracy: float
    low: float  # 95 %, over octets
    high: float
    items: int
    octets: int


def readers() -> tuple[str, ...]:
    """Return those that this machine has."""
    return ("pyav", "decord") if has_decord() else ("pyav",)


def dial_of(root: Path) -> Dial:
    """Return the dial that a benchmark was rendered with."""
    return Dial(**json.loads((root / "manifest.json").read_text())["key"]["dial"])


def reached(root: Path, octets: int, counts: Sequence[int], progress=lambda done: None) -> list[Reached]:
    """Return every level by every reader at every number of frames; the first so many octets of a level."""
    found, done = [], 0
    for level in LEVELS:
        rows = whole(rows_in(root, f"validation_{level}"), octets)
        for reader in readers():
            for count in counts:
                found.append(measured(level, reader, count, rows, [right(row, root, count, reader) for row in rows]))
                progress(done := done + 1)
    return found


def whole(rows: Iterable[Mapping], octets: int) -> list[Mapping]:
    """Return the rows of the first so many octets."""
    return list(islice((row for row in rows if row["stratum"] == "octet"), OCTET_ROWS * octets))


def right(row: Mapping, root: Path, count: int, reader: str) -> bool:
    """Return whether what the oracle concludes from the files is the answer."""
    return read_item(row, root, dial_of(root), count, reader).action == row["answer"]


def measured(level: str, reader: str, frames: int, rows: Sequence[Mapping], hits: Sequence[bool]) -> Reached:
    """Accuracy with its interval over octets."""
    groups, scores = [row["group_id"] for row in rows], np.array(hits, dtype=np.float64)
    low, high = interval(scores, groups)
    return Reached(level, reader, frames, float(scores.mean()), low, high, len(rows), len(set(groups)))


def cells(found: Sequence[Reached]) -> tuple[list[str], list[list[str]]]:
    """Return a line a reader and number of frames, a column a level."""
    lines = {}
    for one in found:
        text = f"{100 * one.accuracy:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]"
        lines.setdefault((one.reader, one.frames), {})[one.level] = text
    rows = [
        [f"{reader}, {frames} frames", *(line[level] for level in LEVELS)] for (reader, frames), line in lines.items()
    ]
    return ["pixel oracle", *LEVELS], rows


def as_json(found: Sequence[Reached]) -> list[dict]:
    """Return all figures, nothing left out."""
    return [asdict(one) for one in found]
