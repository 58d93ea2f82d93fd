"""Add the subtitles of the chosen frames to a question.

There are two published ways. Video-MME (README of BradyFU/Video-MME at 8889f31) lists the subtitles at the times of the sampled
frames before the question. LongVideoBench (longvideobench_dataset.py at fc3c553) interleaves frames, as pictures, and subtitles in
the order of time. Subtitles are added after the frames have been chosen, so conditions on frames apply to them too: a condition
that shows no frames shows no subtitles.
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
NONE = "No subtitles available"  # lmms-eval's words (75571cf) for the 156 of Video-MME's 900 videos without subtitles
SHORTEST = 1.0  # seconds: LongVideoBench extends a shorter subtitle to half a second on either side of its middle


@dataclass(frozen=True, slots=True)
class Subtitle:
    """A text that is spoken from ``start`` to ``end``, in seconds of the video."""

    start: float
    end: float
    text: str

    @property
    def middle(self) -> float:
        """The middle of its time, in seconds."""
        return (self.start + self.end) / 2


def read_srt(path: Path) -> tuple[Subtitle, ...]:
    """Load a SubRip file without its tags; a cue may contain empty lines. Raises MediaError if it has no subtitle."""
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
    """Load a JSON list of {timestamp: [start, end], text} or {start, end, line}.

    ``offset`` seconds are subtracted from all times; an end of null becomes ``duration``. Raises MediaError.
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
    """Return the subtitles that are shown at one of the moments, in order, each once."""
    return [cue for cue in subtitles if any(cue.start <= moment < cue.end for moment in seconds)]


def listed(example: Example, shown: Shown, subtitles: Sequence[Subtitle]) -> tuple[Example, Shown]:
    """Return the question with the subtitles of the shown frames before it, and its media."""
    clip = next((medium for medium in shown if isinstance(medium, Clip)), None)
    if clip is None:
        return example, shown
    lines = "\n".join(cue.text for cue in subtitles_at(subtitles, clip.timestamps)) or NONE
    return replace(example, question=LISTED.format(subtitles=lines) + example.question), shown


def interleaved(example: Example, shown: Shown, subtitles: Sequence[Subtitle], template: str) -> tuple[Example, Shown]:
    """Return a chat with frames, as pictures, and subtitles in the order of time, then the question, one per line; and its media."""
    clip = next((medium for medium in shown if isinstance(medium, Clip)), None)
    if clip is None:
        return example, shown
    order = [*in_time(subtitles, clip.timestamps), worded(replace(example, media=()), template)]
    picture = Media("image", example.every_media[0].path)
    parts = [part for item in order for part in ("\n", item if isinstance(item, str) else picture)][1:]
    frames = tuple(clip.frames[item] for item in order if isinstance(item, int))
    return replace(example, messages=(Message("user", tuple(_joined(parts))),), media=()), frames


def in_time(subtitles: Sequence[Subtitle], moments: Sequence[float]) -> Iterator[int | str]:
    """Yield indices of frames and texts of subtitles in the order of time; a subtitle follows the frames up to its middle.

    Subtitles without a frame in their time are left out.
    """
    frame = 0
    for cue in subtitles:
        while frame < len(moments) and moments[frame] <= cue.middle:
            yield frame
            frame += 1
        short = cue.end - cue.start < SHORTEST
        start, end = (cue.middle - SHORTEST / 2, cue.middle + SHORTEST / 2) if short else (cue.start, cue.end)
        if any(start < moment < end for moment in moments):
            yield cue.text
    yield from range(frame, len(moments))


def _joined(parts: Sequence[str | Media]) -> Iterator[str | Media]:
    """Join neighbouring texts."""
    for are_texts, neighbours in groupby(parts, lambda part: isinstance(part, str)):
        if are_texts:
            yield "".join(neighbours)
        else:
            yield from neighbours


@dataclass(frozen=True)
class SubtitleReader:
    """Add subtitles from a folder to questions: those of ``<video>.srt`` are listed, those of a row's ``subtitle_path`` interleaved."""

    folder: Path
    template: str

    def __call__(self, example: Example, shown: Shown) -> tuple[Example, Shown]:
        """Return the question with its subtitles, and its media. Raises MediaError if the file of ``subtitle_path`` is missing."""
        named = example.fields.get("subtitle_path")
        if named is None:
            path = self.folder / f"{example.every_media[0].path.stem}.srt" if example.every_media else None
            return listed(example, shown, read_srt(path) if path is not None and path.is_file() else ())
        times = (float(example.fields[name]) for name in ("starting_timestamp_for_subtitles", "duration"))
        return interleaved(example, shown, read_longvideobench(self.folder / named, *times), self.template)
