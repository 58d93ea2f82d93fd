"""The files of a rendered benchmark: its manifest (what it was made from, by which encoder, and hashes), and rows found again."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mmrl.runtime.files import sha256
from mmrl.runtime.json_lines import read
from mmrl.world.codec import encoder

MANIFEST = "manifest.json"
HASHES = (
    "clips: SHA-256 of the decoded YUV 4:2:0 planes (files differ between encoder builds); "
    "scripts: SHA-256 of all rows' sha256, file by file in the order of rows"
)
CHATS = "training_with_cot"  # whose rows are chats, not items


def manifest(key: Mapping, rows: Mapping[str, Sequence[Mapping]], clips: Mapping[str, str]) -> dict:
    """Return what manifest.json says: ``rows`` are those of every annotation file, ``clips`` hashes by file name."""
    scripts = (row["sha256"] for several in rows.values() for row in several if "sha256" in row)  # no demonstrations
    return {
        "key": dict(key),
        "encoder": encoder(),
        "rows": {name: len(several) for name, several in rows.items()},
        "hashes": HASHES,
        "scripts": sha256(*scripts),
        "clips": dict(sorted(clips.items())),
    }


def is_complete(out: Path, key: Mapping) -> bool:
    """Tell whether ``out`` holds this key's whole benchmark. Raises FileExistsError if it holds something else."""
    path = out / MANIFEST
    if path.is_file():
        found = json.loads(path.read_text()).get("key")
        if found == key:
            return True
        raise FileExistsError(f"{out}: expected the benchmark {key}, found {found}; delete it or render elsewhere")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out}: expected nothing or a rendered benchmark, found other files; render elsewhere")
    return False


def files_of(root: Path) -> list[str]:
    """Return the names of the items' annotation files, a level before its copies. Raises ValueError without any."""
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
    """Return the row of this ``sample_id``, of one file or the first that has it. Raises ValueError if none does."""
    names = files_of(root) if name is None else [name]
    for row in (row for each in names for row in rows_in(root, each)):
        if row["sample_id"] == item:
            return row
    raise ValueError(f"{root}: expected an item like L1-00000-0 in {', '.join(names)}, found no {item!r}")
