"""The media of examples, decoded ahead of need in other processes."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmrl.data import video
from mmrl.data.cache import ByteCache
from mmrl.data.errors import MediaError
from mmrl.data.frame_choice import FrameChoice
from mmrl.data.paths import inside
from mmrl.data.pool import DecodingPool, failed, finished
from mmrl.data.preflight import Report, preflight
from mmrl.data.video import Clip, Reader
from mmrl.types import Example, Media

__all__ = ["Counts", "MediaError", "MediaReader", "Report", "inside", "preflight"]

logger = logging.getLogger(__name__)


class Key(NamedTuple):
    """One way of looking at one state of a file."""

    path: Path
    size: int
    mtime_ns: int
    choice: FrameChoice | None  # None for an image


@dataclass
class Counts:
    """What a MediaReader did so far."""

    decodes: int = 0
    hits: int = 0  # served from memory
    failures: int = 0
    fallbacks: int = 0  # videos that the first reader could not decode
    bytes: int = 0  # decoded
    seconds_waited: float = 0.0  # by the caller, for frames
    readers: Counter[str] = field(default_factory=Counter)  # files by who decoded them


class MediaReader:
    """Gives the frames of examples, keeps them in memory, and decodes ahead if told what comes next.

    The same arrays are handed out again: do not write to them. A file that failed fails again without another try
    until it changes. ``decode`` is a seam: any function like ``video.decode`` that other processes can import.
    """

    def __init__(
        self,
        root: Path,
        choice: FrameChoice = FrameChoice(),
        workers: int = 2,
        timeout: float = 60.0,  # seconds a file
        reader: Reader = "auto",
        cache_bytes: int = 2 << 30,  # of decoded frames
        decode=video.decode,
    ) -> None:
        self.root = Path(root)
        self.choice = choice
        self.reader = reader
        self.counts = Counts()
        self._decode = decode
        self._workers = workers
        self._pool = DecodingPool(workers, timeout)
        self._cache = ByteCache(cache_bytes)
        self._pending: dict[Key, Future] = {}
        self._failed: dict[Key, MediaError] = {}
        self._lock = threading.RLock()  # results arrive in a thread of the pool

    def load(self, example: Example) -> tuple[Clip | np.ndarray, ...]:
        """The example's media, decoded, in the order of ``example.every_media``.

        Raises MediaError with the example's id.
        """
        try:
            keys = [self._key(media) for media in example.every_media]
            futures = [self._ask(key) for key in keys]  # all of them first, so that they are decoded side by side
            return tuple(self._wait(key, future) for key, future in zip(keys, futures, strict=True))
        except MediaError as error:
            raise error.of(example.id) from None

    def ahead(self, examples: Iterable[Example]) -> None:
        """Start decoding what these examples need, without waiting. What fails is reported when it is loaded.

        Frames wait in the cache, so look no further ahead than it holds. Does nothing without workers or without a
        cache.
        """
        if self._workers == 0 or self._cache.limit == 0:
            return
        for example in examples:
            for media in example.every_media:
                try:
                    key = self._key(media)
                except MediaError as error:
                    logger.debug("decode ahead: %s", error)
                    continue
                if key not in self._cache:
                    self._ask(key)

    def close(self) -> None:
        """Ends the processes."""
        self._pool.close()

    def __enter__(self) -> "MediaReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _key(self, media: Media) -> Key:
        path = inside(self.root, media.path)
        if not path.is_file():
            raise MediaError(path, "no such file", "a file", "check data.root and the annotations")
        state = path.stat()
        return Key(path, state.st_size, state.st_mtime_ns, self.choice if media.kind == "video" else None)

    def _ask(self, key: Key) -> Future:
        """What is in memory, or failed before, or is being decoded, or is from now on."""
        with self._lock:
            kept = self._cache.get(key)
            if kept is not None:
                self.counts.hits += 1
                return finished(kept)
            if key in self._failed:
                return failed(self._failed[key])
            if key in self._pending:
                return self._pending[key]
            started = time.monotonic()
            future = self._pending[key] = self._submit(key)
            self.counts.seconds_waited += time.monotonic() - started  # without workers this is the decoding itself
        if self._workers:
            future.add_done_callback(lambda _: self._arrived(key))
        return future

    def _submit(self, key: Key) -> Future:
        if key.choice is None:
            return self._pool.submit(video.read_image, key.path)
        return self._pool.submit(self._decode, key.path, key.choice, self.reader)

    def _wait(self, key: Key, future: Future) -> Clip | np.ndarray:
        started = time.monotonic()
        try:
            return self._pool.result_of(future, key.path)
        finally:
            self.counts.seconds_waited += time.monotonic() - started
            self._arrived(key)

    def _arrived(self, key: Key) -> None:
        """Books a finished decode, once."""
        with self._lock:
            future = self._pending.pop(key, None)
            if future is None or future.cancelled():
                return
            try:
                decoded = self._pool.result_of(future, key.path)
            except MediaError as error:
                self._failed[key] = error
                self.counts.failures += 1
                return
            self._cache.put(key, decoded)
            self._count(key, decoded)

    def _count(self, key: Key, decoded: Clip | np.ndarray) -> None:
        self.counts.decodes += 1
        self.counts.bytes += decoded.nbytes
        self.counts.readers[decoded.reader if isinstance(decoded, Clip) else "pillow"] += 1
        if isinstance(decoded, Clip) and decoded.fallback:
            self.counts.fallbacks += 1
            level = logging.WARNING if self.counts.fallbacks == 1 else logging.DEBUG
            logger.log(level, "%s: read by %s, because %s", key.path, decoded.reader, decoded.fallback)
