"""Load the media of examples, decoded ahead in other processes."""

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
    hits: int = 0  # requests served from memory
    files: int = 0  # distinct requests: content and settings of decoding
    failures: int = 0
    fallbacks: int = 0  # videos that the first reader could not decode
    bytes: int = 0  # bytes of decoded frames
    seconds_waited: float = 0.0  # the caller's waiting time for frames
    readers: Counter[str] = field(default_factory=Counter)  # decoded files by decoder
    disk: Tally = field(default_factory=Tally)


class MediaReader:
    """Load the frames of examples, cache them in memory and on ``disk``, and decode ahead the examples that ``ahead`` gets.

    The caches' keys are the file's content, the choice of frames and the size rule, so that a copy of a file, or a new date,
    is not decoded again. With ``sizes``, the decoding process downscales media that are larger than the model's processor
    would make them; without, they keep the size of the file. Later calls return the same arrays: do not write to them. A
    file that failed is not tried again until it changes. ``decode`` may be replaced by any function with the signature of
    ``video.decode`` that other processes can import.
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
        """Start to decode the media of these examples, without waiting; ``load`` raises the errors.

        The frames wait in the memory cache, so do not pass more examples than fit into it. It does nothing without workers
        or without a cache.
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
        """End the decoding processes."""
        self._pool.close()

    def __enter__(self) -> "MediaReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def kept_bytes(self) -> int:
        """The bytes of decoded frames in memory."""
        return self._cache.bytes

    def _place(self, media: Media) -> tuple[Path, Key]:
        """Return a medium's file and its cache key. Raises MediaError."""
        path = file_inside(self.root, media.path)
        film = media.kind == "video"
        choice, rule = (self.choice, self.sizes.video) if film else (None, self.sizes.image)
        return path, Key(self._contents.of(path), choice, self.reader, part_of(media), rule)

    def _ask(self, path: Path, key: Key) -> Future:
        """Return a future of the medium: from memory, failed before, already being decoded, or newly submitted."""
        with self._lock:
            self._asked.add(key)
            self.counts.files = len(self._asked)
            cached = self._cache.get(key)
            if cached is not None:
                self.counts.hits += 1
                return finished(Fetched(cached, False))
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
        """Record a finished decoding, once: store the frames and update the counts."""
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
            self._warn_once(fetched.tally)
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

    def _warn_once(self, tally: Tally) -> None:
        """Log the first failure of the disk cache; loading continues without it."""
        if tally.bypassed and not self.counts.disk.bypassed:
            logger.warning("%s: frames are not kept on disk: %s", self._disk.folder, tally.reason)
        if tally.corrupt and not self.counts.disk.corrupt:
            logger.warning("%s: an entry was damaged; its file is decoded again", self._disk.folder)
