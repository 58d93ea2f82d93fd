"""Subtitles, and how a question is asked with those that belong to the frames that are seen.

Two published ways. Video-MME (README of BradyFU/Video-MME at 8889f31) lists, before the question, the subtitles at the
moments of the sampled frames. LongVideoBench (longvideobench_dataset.py at fc3c553) puts frames and subtitles in a row in the
order of time; each frame is a picture then. Which frames there are is known when they have been chosen, so that this comes
last, and conditions on frames hold: a condition that shows none shows no subtitles either.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from mmrl.data.media.errors import MediaError
from mmrl.data.media.video import Clip
from mmrl.data.prompts import text as worded
from mmrl.types import Example, Media, Message

Shown = tuple[Clip | np.ndarray, ...]
LISTED = "This video's subtitles are listed below:\n{subtitles}\n"
NONE = "No subtitles available"  # 156 of Video-MME's 900 videos have none; lmms-eval (75571cf) says so in these words
SHORTEST = 1.0  # seconds: LongVideoBench takes a shorter subtitle for half a second to either side of its middle


@dataclass(frozen=True, slots=True)
class Subtitle:
    """A text that is said from ``start`` to ``end``, in seconds of the video."""

    start: float
    end: float
    text: str

    @property
    def middle(self) -> float:
        """The moment that it stands for."""
        return (self.start + self.end) / 2


def read_srt(path: Path) -> tuple[Subtitle, ...]:
    """Read a SubRip file without its tags; a cue may hold empty lines. Raises MediaError if it has no subtitle in it."""
    try:
        from pysubs2 import SSAFile
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("pysubs2 is needed to read SubRip subtitles: pip install 'mmrl[eval]'") from error
    events = SSAFile.from_string(path.read_text(encoding="utf-8-sig", errors="replace"), format_="srt")
    cues = [Subtitle(event.start / 1000, event.end / 1000, _one_line(event.plaintext)) for event in events]
    if not any(cue.text for cue in cues):
        raise MediaError(path, "no subtitle", "a SubRip file", "download the subtitles again")
    return tuple(cue for cue in cues if cue.text)


def _one_line(text: str) -> str:
    return " ".join(line.strip() for line in text.split("\n") if line.strip())


def read_longvideobench(path: Path, offset: float, duration: float) -> tuple[Subtitle, ...]:
    """Return a list of {timestamp: [start, end], text} or {start, end, line}.

    Times count from ``offset``, an open end is the video's.
    """
    if not path.is_file():
        raise MediaError(path, "no such file", "subtitles", "unpack subtitles.tar")
    try:
        return tuple(_timed(row, offset, duration) for row in json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        found = f"{type(error).__name__}: {error}"
        raise MediaError(path, found, "subtitles with timestamps", "download it again") from None


def _timed(row: dict[str, Any], offset: float, duration: float) -> Subtitle:
    if "timestamp" in row:
        start, end = row["timestamp"]
        return Subtitle(start - offset, (duration if end is None else end) - offset, row["text"])
    start, end = (_of_clock(row[name]) for name in ("start", "end"))
    return Subtitle(start - offset, end - offset, row["line"])


def _of_clock(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def subtitles_at(subtitles: Sequence[Subtitle], seconds: Sequence[float]) -> list[Subtitle]:
    """Return those that are there at one of the moments, in order, each once."""
    return [one for one in subtitles if any(one.start <= moment < one.end for moment in seconds)]


def listed(example: Example, shown: Shown, subtitles: Sequence[Subtitle]) -> tuple[Example, Shown]:
    """Ask a question behind the subtitles of the frames that are seen."""
    clip = next((medium for medium in shown if isinstance(medium, Clip)), None)
    if clip is None:
        return example, shown
    said = "\n".join(one.text for one in subtitles_at(subtitles, clip.timestamps)) or NONE
    return replace(example, question=LISTED.format(subtitles=said) + example.question), shown


def interleaved(example: Example, shown: Shown, subtitles: Sequence[Subtitle], template: str) -> tuple[Example, Shown]:
    """Frames, as pictures, and subtitles in the order of time, then the question; a line each."""
    clip = next((medium for medium in shown if isinstance(medium, Clip)), None)
    if clip is None:
        return example, shown
    order = [*in_time(subtitles, clip.timestamps), worded(replace(example, media=()), template)]
    picture = Media("image", example.every_media[0].path)
    parts = [part for one in order for part in ("\n", one if isinstance(one, str) else picture)][1:]
    frames = tuple(clip.frames[one] for one in order if isinstance(one, int))
    return replace(example, messages=(Message("user", tuple(_joined(parts))),), media=()), frames


def in_time(subtitles: Sequence[Subtitle], moments: Sequence[float]) -> Iterator[int | str]:
    """Yield numbers of frames and texts of subtitles, each behind the frames up to its middle, if a frame is within it."""
    frame = 0
    for one in subtitles:
        while frame < len(moments) and moments[frame] <= one.middle:
            yield frame
            frame += 1
        short = one.end - one.start < SHORTEST
        start, end = (one.middle - SHORTEST / 2, one.middle + SHORTEST / 2) if short else (one.start, one.end)
        if any(start < moment < end for moment in moments):
            yield one.text
    yield from range(frame, len(moments))


def _joined(parts: Sequence[str | Media]) -> Iterator[str | Media]:
    """Neighbouring texts as one."""
    for are_words, some in groupby(parts, lambda part: isinstance(part, str)):
        if are_words:
            yield "".join(some)
        else:
            yield from some


@dataclass(frozen=True)
class SubtitleReader:
    """Asks questions with the subtitles in a folder: ``<video>.srt`` listed, rows with a ``subtitle_path`` interleaved."""

    folder: Path
    template: str

    def __call__(self, example: Example, shown: Shown) -> tuple[Example, Shown]:
        """Return the question as it is asked, and its media. Raises MediaError for a file that is named and missing."""
        named = example.fields.get("subtitle_path")
        if named is None:
            path = self.folder / f"{example.every_media[0].path.stem}.srt" if example.every_media else None
            return listed(example, shown, read_srt(path) if path is not None and path.is_file() else ())
        times = (float(example.fields[name]) for name in ("starting_timestamp_for_subtitles", "duration"))
        return interleaved(example, shown, read_longvideobench(self.folder / named, *times), self.template)
