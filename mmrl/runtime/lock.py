"""Locks between processes. A lock becomes free when its process ends, in whatever way."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

HOLDER = ".holder"  # the suffix of the file that names the process that holds a lock
POLL = 0.01  # seconds between two attempts to take a lock that another process holds


class LockedError(RuntimeError):
    """Another process holds the lock."""


def waiting_lock(path: Path) -> AbstractContextManager:
    """Return a context that holds the lock file ``path``; it waits while another process holds it."""
    return FileLock(path).acquire(poll_interval=POLL)


@contextmanager
def lock_or_refuse(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, or raise LockedError at once with the name of the process that holds it."""
    lock, holder = FileLock(path, timeout=0), path.with_name(path.name + HOLDER)
    try:
        lock.acquire()
    except Timeout:
        name = ""
        with suppress(OSError):
            name = holder.read_text()
        raise LockedError(
            f"{path.parent}: {name or 'another process'} is writing here; wait for it, or choose another folder"
        ) from None
    try:
        holder.write_text(f"process {os.getpid()} on {platform.node()} ({' '.join(sys.argv)})")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
