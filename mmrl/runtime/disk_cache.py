"""Bytes kept on disk by name: bounded, checksummed, written whole or not at all, shared by processes.

An entry that does not read back as it was written is thrown away and counted, so that it is made anew: what comes out
is what went in, or nothing. What cannot be written (disk full, larger than the limit) is counted, and done without.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from mmrl.runtime.files import PARTIAL, sha256, whole_file
from mmrl.runtime.lock import waiting_lock

SUM = 32  # bytes of checksum before each entry
LEDGER = "bytes"  # the file that says how much there is
LOCK = "lock"
ROOM = 0.9  # of the limit is left filled where something had to be given up, so that the next one need not


@dataclass
class Tally:
    """Counts what a cache on disk did."""

    hits: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    evicted: int = 0  # entries given up for others
    corrupt: int = 0  # entries that did not read back as written, and were thrown away
    bypassed: int = 0  # entries that could not be written
    reason: str = ""  # why the newest of those could not

    def add(self, other: "Tally") -> None:
        """Count what another one counted, too."""
        for field in fields(Tally):
            mine, its = getattr(self, field.name), getattr(other, field.name)
            setattr(self, field.name, its or mine if field.name == "reason" else mine + its)


@dataclass(frozen=True)
class Disk:
    """A folder of entries that never hold more than ``limit`` bytes; the least recently used are given up first.

    Holds no open file, so that it can be sent to other processes. Writers wait for one another, readers for nobody.
    """

    folder: Path
    limit: int

    def get(self, name: str, tally: Tally) -> bytes | None:
        """Gives what was put there, now the most recently used; None where there is nothing, or nothing whole."""
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
        """Keep it, and give up as much as that takes."""
        size = SUM + len(payload)
        if size > self.limit:
            tally.bypassed += 1
            tally.reason = f"{size} bytes are more than the limit of {self.limit}"
            return
        try:
            with waiting_lock(self.folder / LOCK):
                if not (self.folder / name).exists():  # another process had it first
                    kept = self.make_room(size, tally)
                    with whole_file(self.folder / name, durable=False) as partial:  # the checksum tells of lost power
                        partial.write_bytes(checksum(name, payload) + payload)
                    (self.folder / LEDGER).write_text(str(kept + size))
                    tally.written_bytes += size
        except OSError as error:
            tally.bypassed += 1
            tally.reason = str(error)

    def make_room(self, size: int, tally: Tally) -> int:
        """The bytes that are kept, so few that ``size`` more fit."""
        kept = self.used_bytes()
        if kept + size <= self.limit:
            return kept
        entries = self.entries()
        kept = sum(entry.st_size for _, entry in entries)
        for path, entry in sorted(entries, key=lambda one: one[1].st_mtime_ns):
            if kept + size <= max(size, ROOM * self.limit):
                break
            path.unlink(missing_ok=True)
            kept -= entry.st_size
            tally.evicted += 1
        return kept

    def used_bytes(self) -> int:
        """The bytes of all entries, from the ledger."""
        try:
            return int((self.folder / LEDGER).read_text())
        except (FileNotFoundError, ValueError):
            return self.counted_bytes()

    def counted_bytes(self) -> int:
        """The bytes of all entries, from the folder."""
        return sum(entry.st_size for _, entry in self.entries())

    def entries(self) -> list[tuple[Path, os.stat_result]]:
        """All entries; what a killed process left half-written is removed. Only for who holds the lock."""
        found = []
        for path in self.folder.iterdir():
            if path.suffix == PARTIAL:
                path.unlink(missing_ok=True)
            elif path.name not in (LEDGER, LOCK):
                with suppress(FileNotFoundError):  # a reader found it corrupt
                    found.append((path, path.stat()))
        return found


def open_disk(folder: Path, limit: int) -> Disk:
    """A cache in a folder, which is made. Raises ValueError, in the name of the config's key, where it cannot be written."""
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
    """Sums up an entry under its name, so that an entry under another's name is corrupt, too."""
    return bytes.fromhex(sha256(name, b"\0", payload))
