"""The media of examples, decoded ahead of need in other processes."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmrl.data.media import video
from mmrl.data.media.errors import MediaError
from mmrl.data.media.frame_cache import Contents, Fetched, Key, fetch
from mmrl.data.media.frame_choice import FrameChoice
from mmrl.data.media.frame_size import SizeRules
from mmrl.data.media.paths import file_inside
from mmrl.data.media.pool import DecodingPool, finished
from mmrl.data.media.preflight import part_of
from mmrl.data.media.video import Clip, Reader
from mmrl.runtime.disk_cache import Disk, Tally
from mmrl.runtime.memory_cache import ByteCache
from mmrl.types import Example, Media

logger = logging.getLogger(__name__)


@dataclass
class Counts:
    """The counters of a MediaReader."""

    decodes: int = 0
    hits: int = 0  # served from memory
    files: int = 0  # of different content that were asked for
    failures: int = 0
    fallbacks: int = 0  # videos that the first reader could not decode
    bytes: int = 0  # decoded
    seconds_waited: float = 0.0  # by the caller, for frames
    readers: Counter[str] = field(default_factory=Counter)  # files by who decoded them
    disk: Tally = field(default_factory=Tally)


class MediaReader:
    """Gives the frames of examples, keeps them in memory and on ``disk``, and decodes ahead if told what comes next.

    Frames are kept by the content of their file, the choice of frames and the rule of their size, so that a copy or
    another date of a file is not decoded again. By ``sizes``, media that are larger than a model's processor would make
    them are made as small as that where they are decoded; without, they are as large as in the file. The same arrays are
    handed out again: do not write to them. A file that failed fails again without another try until it changes.
    ``decode`` is a seam: any function like ``video.decode`` that other processes can import.
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
        disk: Disk | None = None,
        sizes: SizeRules = SizeRules(),
    ) -> None:
        self.root = Path(root)
        self.choice = choice
        self.reader = reader
        self.sizes = sizes
        self.counts = Counts()
        self._decode = decode
        self._workers = workers
        self._pool = DecodingPool(workers, timeout)
        self._cache = ByteCache(cache_bytes)
        self._disk = disk
        self._contents = Contents(disk, self.counts.disk)
        self._asked: set[Key] = set()
        self._pending: dict[Key, Future] = {}
        self._failed: dict[Key, Future] = {}
        self._lock = threading.RLock()  # results arrive in a thread of the pool

    def load(self, example: Example) -> tuple[Clip | np.ndarray, ...]:
        """Return the media in the order of ``example.every_media``, decoded. Raises MediaError with the example's id."""
        try:
            places = [self._place(media) for media in example.every_media]
            futures = [self._ask(*place) for place in places]  # all first, so that they are decoded side by side
            return tuple(self._wait(*place, future) for place, future in zip(places, futures, strict=True))
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
                    path, key = self._place(media)
                except MediaError as error:
                    logger.debug("decode ahead: %s", error)
                    continue
                if key not in self._cache:
                    self._ask(path, key)

    def close(self) -> None:
        """Ends the processes."""
        self._pool.close()

    def __enter__(self) -> "MediaReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def kept_bytes(self) -> int:
        """Decoded frames in memory."""
        return self._cache.bytes

    def _place(self, media: Media) -> tuple[Path, Key]:
        """Return the file, and the way of looking at its content."""
        path = file_inside(self.root, media.path)
        film = media.kind == "video"
        choice, rule = (self.choice, self.sizes.video) if film else (None, self.sizes.image)
        return path, Key(self._contents.of(path), choice, self.reader, part_of(media), rule)

    def _ask(self, path: Path, key: Key) -> Future:
        """Return what is in memory, or failed before, or is being decoded, or is from now on."""
        with self._lock:
            self._asked.add(key)
            self.counts.files = len(self._asked)
            kept = self._cache.get(key)
            if kept is not None:
                self.counts.hits += 1
                return finished(Fetched(kept, False))
            if key in self._failed:
                return self._failed[key]
            if key in self._pending:
                return self._pending[key]
            started = time.monotonic()
            future = self._pending[key] = self._pool.submit(fetch, path, key, self._decode, self._disk)
            self.counts.seconds_waited += time.monotonic() - started  # without workers this is the decoding itself
        if self._workers:
            future.add_done_callback(lambda _: self._arrived(path, key))
        return future

    def _wait(self, path: Path, key: Key, future: Future) -> Clip | np.ndarray:
        started = time.monotonic()
        try:
            return self._pool.result_of(future, path).medium
        finally:
            self.counts.seconds_waited += time.monotonic() - started
            self._arrived(path, key)

    def _arrived(self, path: Path, key: Key) -> None:
        """Books a finished decode, once."""
        with self._lock:
            future = self._pending.pop(key, None)
            if future is None or future.cancelled():
                return
            try:
                fetched = self._pool.result_of(future, path)
            except MediaError:
                self._failed[key] = future
                self.counts.failures += 1
                return
            self._cache.put(key, fetched.medium)
            self._tell(fetched.tally)
            self.counts.disk.add(fetched.tally)
            if fetched.decoded:
                self._count(path, fetched.medium)

    def _count(self, path: Path, decoded: Clip | np.ndarray) -> None:
        self.counts.decodes += 1
        self.counts.bytes += decoded.nbytes
        self.counts.readers[decoded.reader if isinstance(decoded, Clip) else "pillow"] += 1
        if isinstance(decoded, Clip) and decoded.fallback:
            self.counts.fallbacks += 1
            level = logging.WARNING if self.counts.fallbacks == 1 else logging.DEBUG
            logger.log(level, "%s: read by %s, because %s", path, decoded.reader, decoded.fallback)

    def _tell(self, tally: Tally) -> None:
        """Say once that the disk does not keep what it should; it goes on without."""
        if tally.bypassed and not self.counts.disk.bypassed:
            logger.warning("%s: frames are not kept on disk: %s", self._disk.folder, tally.reason)
        if tally.corrupt and not self.counts.disk.corrupt:
            logger.warning("%s: an entry was damaged; its file is decoded again", self._disk.folder)
