"""A cache of frames and features in memory; the least recently used values are removed first."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any


class ByteCache:
    """A cache of values with an attribute ``nbytes``, of at most ``limit`` bytes together; larger values are not stored."""

    def __init__(self, limit: int) -> None:
        if limit < 0:
            raise ValueError(f"media.cache_bytes: expected 0 or more, found {limit}")
        self.limit = limit
        self.bytes = 0
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable) -> Any | None:
        """Return the value of a key and make it the most recently used; None if it is missing."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: Hashable, value: Any) -> None:
        """Store a value; remove the least recently used values if it needs their room."""
        if key in self._kept:
            self.bytes -= self._kept.pop(key).nbytes
        if value.nbytes > self.limit:
            return
        self._kept[key] = value
        self.bytes += value.nbytes
        while self.bytes > self.limit:
            _, oldest = self._kept.popitem(last=False)
            self.bytes -= oldest.nbytes

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)
