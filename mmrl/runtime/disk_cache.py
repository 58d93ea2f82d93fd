"""A cache of bytes on disk by name: bounded, with checksums, atomic writes, shared by processes.

An entry whose checksum does not match is deleted and counted; the caller then computes it again. So a cache returns exactly the
bytes that were stored, or nothing. An entry that cannot be written (disk full, larger than the limit) is counted and skipped.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from mmrl.runtime.files import PARTIAL, sha256, whole_file
from mmrl.runtime.lock import waiting_lock

SUM = 32  # bytes of checksum before each entry
LEDGER = "bytes"  # the file that holds the number of bytes in the cache
LOCK = "lock"
ROOM = 0.9  # an eviction continues down to this fraction of the limit, so that the next write need not evict


@dataclass
class Tally:
    """Counters of a cache on disk."""

    hits: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    evicted: int = 0  # entries deleted to make room for others
    corrupt: int = 0  # entries deleted because their checksum did not match
    bypassed: int = 0  # entries that could not be written
    reason: str = ""  # the reason of the newest bypassed entry

    def add(self, other: "Tally") -> None:
        """Add the counts of another tally to these."""
        for field in fields(Tally):
            own, added = getattr(self, field.name), getattr(other, field.name)
            setattr(self, field.name, added or own if field.name == "reason" else own + added)


@dataclass(frozen=True)
class Disk:
    """A folder of entries with at most ``limit`` bytes together; the least recently used entries are deleted first.

    It has no open file, so it can be sent to other processes. Writers wait for one another; readers do not wait.
    """

    folder: Path
    limit: int

    def get(self, name: str, tally: Tally) -> bytes | None:
        """Return an entry and make it the most recently used; None if it is missing or damaged."""
        path = self.folder / name
        try:
            entry = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError:
            tally.corrupt += 1
            return None
        if entry[:SUM] != checksum(name, entry[SUM:]):
            tally.corrupt += 1
            with suppress(OSError):  # another process was faster, or the folder was made read-only
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        tally.hits += 1
        tally.read_bytes += len(entry)
        return entry[SUM:]

    def put(self, name: str, payload: bytes, tally: Tally) -> None:
        """Store an entry; delete the least recently used entries if it needs their room."""
        size = SUM + len(payload)
        if size > self.limit:
            tally.bypassed += 1
            tally.reason = f"{size} bytes are more than the limit of {self.limit}"
            return
        try:
            with waiting_lock(self.folder / LOCK):
                if not (self.folder / name).exists():  # another process had it first
                    used = self.make_room(size, tally)
                    with whole_file(self.folder / name, durable=False) as partial:  # the checksum shows a loss of power
                        partial.write_bytes(checksum(name, payload) + payload)
                    (self.folder / LEDGER).write_text(str(used + size))
                    tally.written_bytes += size
        except OSError as error:
            tally.bypassed += 1
            tally.reason = str(error)

    def make_room(self, size: int, tally: Tally) -> int:
        """Delete entries until ``size`` more bytes fit; return the bytes that are then in use."""
        used = self.used_bytes()
        if used + size <= self.limit:
            return used
        entries = self.entries()
        used = sum(entry.st_size for _, entry in entries)
        for path, entry in sorted(entries, key=lambda item: item[1].st_mtime_ns):
            if used + size <= max(size, ROOM * self.limit):
                break
            path.unlink(missing_ok=True)
            used -= entry.st_size
            tally.evicted += 1
        return used

    def used_bytes(self) -> int:
        """Return the bytes of all entries, from the ledger."""
        try:
            return int((self.folder / LEDGER).read_text())
        except (FileNotFoundError, ValueError):
            return self.counted_bytes()

    def counted_bytes(self) -> int:
        """Return the bytes of all entries, from the folder."""
        return sum(entry.st_size for _, entry in self.entries())

    def entries(self) -> list[tuple[Path, os.stat_result]]:
        """Return all entries, after removing the partial files of killed processes. The caller must hold the lock."""
        entries = []
        for path in self.folder.iterdir():
            if path.suffix == PARTIAL:
                path.unlink(missing_ok=True)
            elif path.name not in (LEDGER, LOCK):
                with suppress(FileNotFoundError):  # a reader found it corrupt
                    entries.append((path, path.stat()))
        return entries


def open_disk(folder: Path, limit: int) -> Disk:
    """Return a cache in a folder, which is created. Raises ValueError, with the config's key, if it cannot be written."""
    disk, probe = Disk(folder, limit), folder / "probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with waiting_lock(folder / LOCK):
            with whole_file(probe, durable=False) as partial:
                partial.touch()
            probe.unlink()
            (folder / LEDGER).write_text(str(disk.counted_bytes()))
    except OSError as error:
        raise ValueError(
            f"cache_dir: expected a folder that can be written, found {error.__cause__ or error}; choose another, or null "
            "for none"
        ) from None
    return disk


def checksum(name: str, payload: bytes) -> bytes:
    """Return the SHA-256 of name and payload, so that an entry under another entry's name counts as corrupt."""
    return bytes.fromhex(sha256(name, b"\0", payload))
