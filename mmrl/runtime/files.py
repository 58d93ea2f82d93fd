"""Files and directories that are written whole or not at all, and hashes of what they hold.

Everything is written to a temporary sibling, forced to disk and renamed. A process that is killed at any moment, or a machine that
loses power, leaves what was there before or all of the new content, never a part of it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PARTIAL = ".partial"  # ends the name of what is being written
REPLACED = ".replaced"  # ends the name of a directory whose place a new one is taking
SHORT = 16  # hexadecimal digits of a short hash (64 bits): records on disk hold hashes of this length


class WriteError(OSError):
    """A file that could not be written: the disk is full, or the folder is read-only."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole; text is UTF-8. Raises WriteError, and keeps the old file, where that fails."""
    with whole_file(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value: Any, sort_keys: bool = False) -> None:
    """Write a value as indented JSON, whole. Raises ValueError for a number that is not finite."""
    write_whole(path, json.dumps(value, indent=1, allow_nan=False, sort_keys=sort_keys) + "\n")


@contextmanager
def whole_file(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary sibling to write to, which takes the place of ``path`` when the block ends without an error.

    The sibling's name holds the process id, so that processes that write one file at once do not mix. ``durable=False`` does not
    wait for the disk: for what carries a checksum or is cheap to make again.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    with reported(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            if durable:
                flush(partial)
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        if durable:
            flush(path.parent)


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary sibling to fill, which takes the place of ``path`` when the block ends without an error.

    An old directory is renamed aside before the new one takes its name, and deleted last, so that one of the two is always there;
    ``settle`` finishes what a kill interrupted in between. One process at a time may write to ``path``.
    """
    partial, replaced = path.with_name(path.name + PARTIAL), path.with_name(path.name + REPLACED)
    settle(path)
    with reported(path):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            for inner in (*partial.rglob("*"), partial):
                flush(inner)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        if path.exists():
            os.rename(path, replaced)
        os.rename(partial, path)
        flush(path.parent)
        shutil.rmtree(replaced, ignore_errors=True)


def settle(path: Path) -> None:
    """Finish the replacement of a directory that a kill interrupted between its two renames, or leave all as it is."""
    partial, replaced = path.with_name(path.name + PARTIAL), path.with_name(path.name + REPLACED)
    if not replaced.exists():
        return
    with suppress(OSError):  # another process settles the same directory
        if not path.exists():  # the new one was flushed before the old one was renamed
            os.rename(partial if partial.exists() else replaced, path)
    shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turn an error of the file system into one WriteError that names the file to be written."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(
            f"{path}: expected a place that can be written, found {error}; free some space there, or choose another place"
        ) from error


def flush(path: Path) -> None:
    """Force a file, or the names in a directory, to disk."""
    if path.is_dir() and os.name == "nt":  # Windows opens no directory, and writes names at once
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(*parts: str | bytes | memoryview) -> str:
    """The SHA-256 of some parts one after the other, 64 hexadecimal digits; text is UTF-8."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part.encode() if isinstance(part, str) else part)
    return hashed.hexdigest()


def short_hash(*parts: str | bytes | memoryview) -> str:
    """The first ``SHORT`` digits of ``sha256``: enough to tell versions of a thing apart, for names and for people."""
    return sha256(*parts)[:SHORT]
