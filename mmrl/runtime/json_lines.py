"""Files with one JSON value per line; after a kill or a loss of power, their end may be torn.

One rule holds for all of them: a line is whole if it ends in a newline and has no NUL byte (file systems leave NUL bytes where data
was expected and did not arrive). Everything behind the last whole line is the torn end. Readers skip it and log a warning; call
``cut_torn_end`` before you append. Any other line that is not JSON is an error that names the file and the line.
"""

import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)
TAIL = 2**16  # bytes at the end of a file; they mostly suffice to show that its end is not torn


def split(data: bytes) -> tuple[list[bytes], int]:
    """Return the whole lines of a file without their newlines, and the number of bytes of its torn end."""
    *lines, _ = data.split(b"\n")  # not splitlines: text may hold other separators
    while lines and b"\0" in lines[-1]:
        lines.pop()
    return lines, len(data) - sum(len(line) + 1 for line in lines)


def read(path: Path) -> list[Any]:
    """Return the values of all whole lines that are not empty; skip a torn end, with a warning in the log.

    Raises ValueError for a line that is not JSON.
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
    """Return a value as one line of JSON."""
    return json.dumps(value, ensure_ascii=False) + "\n"


def append(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """Append values to a file that has no torn end."""
    append_lines(path, map(line_of, values))


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Append lines that end in newlines, in one write that reaches the operating system: a kill cannot lose them."""
    with path.open("ab") as file:
        file.write("".join(lines).encode())


def cut_torn_end(path: Path) -> int:
    """Remove the torn end of a file, if the file exists, so that lines can be appended; return the number of bytes removed."""
    if not path.exists() or ends_whole(path):
        return 0
    data = path.read_bytes()
    torn = split(data)[1]
    with path.open("r+b") as file:
        file.truncate(len(data) - torn)
    logger.warning("%s: cut off the last %d bytes, a line that was not written to its end", path, torn)
    return torn


def ends_whole(path: Path) -> bool:
    """Return True if the last bytes of a file show that it has no torn end; False if they do not suffice."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        tail = file.read()
    return size == 0 or (tail.endswith(b"\n") and b"\0" not in tail and (b"\n" in tail[:-1] or size <= TAIL))
