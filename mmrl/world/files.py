"""Rows of a rendered benchmark, found again."""

from collections.abc import Iterator
from pathlib import Path

from mmrl.runtime.json_lines import read

CHATS = "training_with_cot"  # whose rows are chats, not items


def files_of(root: Path) -> list[str]:
    """Return the names of the annotation files of items, a level before its copies.

    Raises ValueError if there are none.
    """
    found = sorted(path.name for path in Path(root, "annotations").glob("*.jsonl"))
    if not found:
        raise ValueError(f"{root}: expected annotations/*.jsonl, found none; mmrl world render {root} makes them")
    return [name.removesuffix(".jsonl") for name in found if name != f"{CHATS}.jsonl"]


def rows_in(root: Path, name: str) -> Iterator[dict]:
    """Yield the rows of an annotation file. Raises ValueError if there is no such file."""
    if name not in files_of(root):
        raise ValueError(f"{root}: expected one of the files {', '.join(files_of(root))}, found {name!r}")
    yield from read(Path(root, "annotations", f"{name}.jsonl"))


def find_row(root: Path, item: str, name: str | None = None) -> dict:
    """Return the row whose ``sample_id`` this is, of one file or of the first that has it.

    Raises ValueError if none does.
    """
    names = files_of(root) if name is None else [name]
    for row in (row for each in names for row in rows_in(root, each)):
        if row["sample_id"] == item:
            return row
    raise ValueError(f"{root}: expected an item like L1-00000-0 in {', '.join(names)}, found no {item!r}")
