"""Files of one JSON value a line, which a process that is killed, or a machine that loses power, may leave with a torn end.

One rule for all of them: a line is whole if it ends in a newline and holds no NUL byte (which is what a file system leaves where
it had made room for data that never came). Whatever stands behind the last whole line is the torn end. Readers leave it out and
say so; who wants to append cuts it off first. Any other line that is not JSON is an error that names the file and the line.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def split(data: bytes) -> tuple[list[bytes], int]:
    """The whole lines of a file without their newlines, and the number of bytes of its torn end."""
    *lines, _ = data.split(b"\n")  # not splitlines: text may hold other separators
    while lines and b"\0" in lines[-1]:
        lines.pop()
    return lines, len(data) - sum(len(line) + 1 for line in lines)


def read(path: Path) -> list[Any]:
    """The values of all whole lines; empty lines are skipped, and a torn end is left out with a warning in the log.

    Raises ValueError for a whole line that is not JSON.
    """
    lines, torn = split(path.read_bytes())
    if torn:
        logger.warning("%s: left out the last %d bytes, a line that was not written to its end", path, torn)
    return [value(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def value(line: bytes, where: str) -> Any:
    """The value of a line. Raises ValueError that says where it stands if it is not JSON."""
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(
            f"{where}: expected JSON, found {line[:40]!r} ({error}); delete the line or the file"
        ) from None


def text(value: Any) -> str:
    """A value as one line."""
    return json.dumps(value, ensure_ascii=False) + "\n"


def append(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """Add lines to a file without a torn end, in one write, and hand them to the operating system: a kill cannot lose them."""
    with path.open("ab") as file:
        file.write("".join(map(text, values)).encode())


def cut_torn_end(path: Path) -> int:
    """Cut off what stands behind the last whole line, so that lines can be added; the number of bytes. No file has no end."""
    if not path.exists():
        return 0
    data = path.read_bytes()
    torn = split(data)[1]
    if torn:
        with path.open("r+b") as file:
            file.truncate(len(data) - torn)
    return torn
