"""Atomic writes of files and directories, and hashes of their content.

Everything is written to a temporary sibling, flushed to disk and renamed. After a kill or a loss of power at any moment, either the
old content or all of the new content is there, never a part of it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PARTIAL = ".partial"  # the suffix of a file or directory that is being written
REPLACED = ".replaced"  # the suffix of an old directory while a new one takes its name
SHORT = 16  # hexadecimal digits of a short hash (64 bits): records on disk hold hashes of this length


class WriteError(OSError):
    """A file could not be written: the disk is full, or the folder is read-only."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file atomically; text is UTF-8. If that fails, raise WriteError; the old file stays."""
    with whole_file(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value: Any, sort_keys: bool = False) -> None:
    """Write a value as indented JSON, atomically. Raises ValueError for a number that is not finite."""
    write_whole(path, json.dumps(value, indent=1, allow_nan=False, sort_keys=sort_keys) + "\n")


@contextmanager
def whole_file(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary sibling to write to; it replaces ``path`` when the block ends without an error.

    The sibling's name contains the process id, so that processes that write one file at once do not collide. ``durable=False``
    does not wait for the disk; use it for content that has a checksum or is cheap to compute again.
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
    """Yield an empty temporary sibling to fill; it replaces ``path`` when the block ends without an error.

    The old directory is renamed before the new one takes its name, and deleted last, so that one of the two always exists.
    After a kill in between, ``settle`` finishes the replacement. One process at a time may write to ``path``.
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
    """Finish the replacement of a directory if a kill interrupted it between its two renames; else do nothing."""
    partial, replaced = path.with_name(path.name + PARTIAL), path.with_name(path.name + REPLACED)
    if not replaced.exists():
        return
    with suppress(OSError):  # another process settles the same directory
        if not path.exists():  # the new one was flushed before the old one was renamed
            os.rename(partial if partial.exists() else replaced, path)
    shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Convert an OSError inside the block to a WriteError that names the file."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(
            f"{path}: expected a place that can be written, found {error}; free some space there, or choose another place"
        ) from error


def flush(path: Path) -> None:
    """Flush a file, or the entries of a directory, to disk."""
    if path.is_dir() and os.name == "nt":  # Windows opens no directory, and writes names at once
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(*parts: str | bytes | memoryview) -> str:
    """Return the SHA-256 of the concatenated parts, as 64 hexadecimal digits; text is UTF-8."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part.encode() if isinstance(part, str) else part)
    return hashed.hexdigest()


def short_hash(*parts: str | bytes | memoryview) -> str:
    """Return the first ``SHORT`` digits of ``sha256``; they suffice to distinguish versions in names and records."""
    return sha256(*parts)[:SHORT]
