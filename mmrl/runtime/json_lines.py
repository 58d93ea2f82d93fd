"""Files of one JSON value a line, which a process that is killed, or a machine that loses power, may leave with a torn end.

One rule for all of them: a line is whole if it ends in a newline and holds no NUL byte (which is what a file system leaves where
it had made room for data that never came). Whatever stands behind the last whole line is the torn end. Readers leave it out and
say so; who wants to append cuts it off first. Any other line that is not JSON is an error that names the file and the line.
"""

import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)
TAIL = 2**16  # bytes at the end of a file that mostly show that it is whole, without reading all of it


def split(data: bytes) -> tuple[list[bytes], int]:
    """The whole lines of a file without their newlines, and the number of bytes of its torn end."""
    *lines, _ = data.split(b"\n")  # not splitlines: text may hold other separators
    while lines and b"\0" in lines[-1]:
        lines.pop()
    return lines, len(data) - sum(len(line) + 1 for line in lines)


def read(path: Path) -> list[Any]:
    """The values of all whole lines that are not empty; a torn end is left out, with a warning in the log.

    Raises ValueError for a line that is no JSON.
    """
    lines, torn = split(path.read_bytes())
    if torn:
        logger.warning("%s: left out the last %d bytes, a line that was not written to its end", path, torn)
    values = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values.append(json.loads(line))
        except ValueError as error:
            raise ValueError(
                f"{path}, line {number}: expected JSON, found {line[:40]!r} ({error}); delete the line or the file"
            ) from None
    return values


def line_of(value: Any) -> str:
    """A value as one line."""
    return json.dumps(value, ensure_ascii=False) + "\n"


def append(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """Add values to a file without a torn end."""
    append_lines(path, map(line_of, values))


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Add lines that end in newlines, in one write, and hand them to the operating system: a kill cannot lose them."""
    with path.open("ab") as file:
        file.write("".join(lines).encode())


def cut_torn_end(path: Path) -> int:
    """Cut off the torn end of a file, if that exists, so that lines can be added, and return the number of bytes."""
    if not path.exists() or ends_whole(path):
        return 0
    data = path.read_bytes()
    torn = split(data)[1]
    with path.open("r+b") as file:
        file.truncate(len(data) - torn)
    logger.warning("%s: cut off the last %d bytes, a line that was not written to its end", path, torn)
    return torn


def ends_whole(path: Path) -> bool:
    """Tell from its last bytes, where these suffice, that a file has no torn end."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        tail = file.read()
    return size == 0 or (tail.endswith(b"\n") and b"\0" not in tail and (b"\n" in tail[:-1] or size <= TAIL))
