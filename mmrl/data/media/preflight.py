"""Open every media file once before the first step, so that a broken file does not stop a run later."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mmrl.data.media import video
from mmrl.data.media.errors import MediaError
from mmrl.data.media.frame_choice import FrameChoice
from mmrl.data.media.paths import file_inside
from mmrl.data.media.pool import DecodingPool
from mmrl.data.media.video import Part, Reader
from mmrl.runtime.json_lines import append_lines, cut_torn_end, split
from mmrl.types import Example, Media

SHOWN = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A file that cannot be used, and the examples that need it."""

    error: MediaError
    examples: tuple[str, ...]  # ids

    def __str__(self) -> str:
        more = f" [and {len(self.examples) - 1} more examples]" if len(self.examples) > 1 else ""
        return f"{self.error.of(self.examples[0])}{more}"


@dataclass(frozen=True)
class Report:
    """The findings of a preflight."""

    files: int
    remembered: int  # files that were good in an earlier preflight and were not opened again
    failures: tuple[Failure, ...]

    def raise_if_bad(self) -> None:
        """Raise one MediaError for all failures, if there are any."""
        if not self.failures:
            return
        shown = [str(failure) for failure in self.failures[:SHOWN]]
        more = [f"and {len(self.failures) - SHOWN} more"] if len(self.failures) > SHOWN else []
        found = "\n  ".join([f"{len(self.failures)} that cannot be used:", *shown, *more]) + "\n"
        raise MediaError(f"{self.files} media files", found, "files that decode")


def preflight(
    examples: Iterable[Example],
    root: Path,
    choice: FrameChoice = FrameChoice(),
    workers: int = 2,
    timeout: float = 60.0,  # seconds a file
    memory: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    reader: Reader = "auto",
    probe=video.probe,
) -> Report:
    """Decode the first and the last chosen frame of each distinct video, and each image.

    ``memory`` is a file of JSON lines with the good files, by path, size, modification time and choice; the next preflight
    does not open these again. ``progress(done, total)`` is called after each file. Failures are returned, not raised.
    """
    needed = _needed(examples)
    known = _read_memory(memory)
    pool = DecodingPool(workers, timeout)
    failures, remembered, waiting = [], 0, []
    try:
        for media, ids in needed.items():
            try:
                path = file_inside(root, media.path)
                note = _note(media, path, choice, reader)
            except MediaError as error:
                failures.append(Failure(error, ids))
                continue
            if note in known:
                remembered += 1
                continue
            decode, rest = video.reading(probe, choice if media.kind == "video" else None, reader, part_of(media))
            waiting.append((pool.submit(decode, path, *rest), path, note, ids))
        for done, (future, path, note, ids) in enumerate(waiting, start=len(needed) - len(waiting) + 1):
            try:
                pool.result_of(future, path)
                _remember(memory, note)
            except MediaError as error:
                failures.append(Failure(error, ids))
            if progress is not None:
                progress(done, len(needed))
    finally:
        pool.close()
    return Report(len(needed), remembered, tuple(failures))


def part_of(media: Media) -> Part | None:
    """Return the part of a video that is shown, as plain numbers."""
    return None if media.span is None else (media.span.start, media.span.end, media.span.unit)


def _needed(examples: Iterable[Example]) -> Mapping[Media, tuple[str, ...]]:
    needed: dict[Media, list[str]] = {}
    for example in examples:
        for media in example.every_media:
            needed.setdefault(media, []).append(example.id)
    return {media: tuple(ids) for media, ids in needed.items()}


def _note(media: Media, path: Path, choice: FrameChoice, reader: Reader) -> str:
    """Return the line for a good file in the memory file."""
    state = path.stat()
    note = {"path": str(path), "size": state.st_size, "mtime_ns": state.st_mtime_ns}
    if media.kind == "video":
        note |= {"choice": asdict(choice), "reader": reader}
    if media.span is not None:
        note |= {"part": part_of(media)}
    return json.dumps(note, sort_keys=True)


def _read_memory(memory: Path | None) -> set[str]:
    """Return the lines of the memory file. They are compared as text, so a line that a crash has torn matches no file."""
    if memory is None or not memory.exists():
        return set()
    cut_torn_end(memory)
    return {line.decode(errors="replace") for line in split(memory.read_bytes())[0]}


def _remember(memory: Path | None, note: str) -> None:
    if memory is None:
        return
    memory.parent.mkdir(parents=True, exist_ok=True)
    append_lines(memory, [note + "\n"])
