"""The manifest of a rendered benchmark: what it was made from, by which encoder, and hashes of what it holds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmrl.runtime.files import sha256
from mmrl.world.codec import encoder

NAME = "manifest.json"
HASHES = (
    "clips: SHA-256 of the decoded YUV 4:2:0 planes (files differ between encoder builds); "
    "scripts: SHA-256 of all rows' sha256, file by file in the order of rows"
)


def manifest(key: Mapping, rows: Mapping[str, Sequence[Mapping]], clips: Mapping[str, str]) -> dict:
    """Return what manifest.json says.

    ``rows`` are those of every annotation file, ``clips`` the hashes by file name.
    """
    told = "".join(
        row["sha256"] for several in rows.values() for row in several if "sha256" in row
    )  # no demonstrations
    return {
        "key": dict(key),
        "encoder": encoder(),
        "rows": {name: len(several) for name, several in rows.items()},
        "hashes": HASHES,
        "scripts": sha256(told),
        "clips": dict(sorted(clips.items())),
    }


def is_complete(out: Path, key: Mapping) -> bool:
    """Return whether ``out`` holds the whole benchmark of this key.

    Raises FileExistsError if it holds something else.
    """
    path = out / NAME
    if path.is_file():
        found = json.loads(path.read_text()).get("key")
        if found == key:
            return True
        raise FileExistsError(f"{out}: expected the benchmark {key}, found {found}; delete it or render elsewhere")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out}: expected nothing or a rendered benchmark, found other files; render elsewhere")
    return False
