"""Decode videos and images to arrays. This module uses NumPy only, because the processes that decode import it."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from mmrl.data.media.decoders import Index, has_decord, read_frames, read_index
from mmrl.data.media.errors import MediaError, no_such_file
from mmrl.data.media.frame_choice import FrameChoice, choose, has_variable_rate
from mmrl.data.media.frame_size import SizeRule

Reader = Literal["auto", "decord", "pyav"]
Part = tuple[float, float, Literal["seconds", "frames"]]  # mmrl.types.Span, for processes that must not import torch
RATE_TOLERANCE = (
    0.01  # the relative error of the stated rate; the measured rate does not include the last frame's duration
)
ROUNDED = 1e-3  # seconds: containers round time stamps
PLAYLISTS = (b"#EXTM3U", b"ffconcat")  # text files that make FFmpeg open other files


@dataclass(frozen=True, eq=False)
class Clip:
    """The chosen frames of a video, with their times."""

    frames: UInt8[np.ndarray, "f h w 3"]  # red, green, blue
    indices: Int[np.ndarray, " f"]  # the frames' indices in the file
    timestamps: Float[np.ndarray, " f"]  # seconds since the first frame of the file (or part), from its time stamps
    fps: float  # frames per second of the file, measured
    total: int  # the number of frames of the file, or of the chosen part
    reader: str  # decord or pyav
    chosen_by: Literal["index", "time"] = "index"  # "time" where the frame rate varies
    fallback: str = ""  # why the first reader could not decode the file
    first: int = 0  # the index in the file at which the chosen part starts
    rule: SizeRule | None = None  # the rule by which the frames were downscaled

    @property
    def sampled_fps(self) -> float:
        """The number of chosen frames per second.

        Qwen2.5-VL's temporal positions depend on it: a step of its grid is two frames, ``2 / sampled_fps`` seconds. It is
        ``len(indices) / total * fps``, as in transformers' ``VideoMetadata.sampled_fps`` and in qwen-vl-utils, with which
        the model was trained. That is a convention: under "linspace" the true mean distance between frames,
        ``(timestamps[-1] - timestamps[0]) / (f - 1)`` seconds, is about ``f / (f - 1)`` times as long.
        """
        return len(self.indices) * self.fps / self.total

    @property
    def nbytes(self) -> int:
        """The bytes of the clip's arrays."""
        return self.frames.nbytes + self.indices.nbytes + self.timestamps.nbytes


def decode(path: Path, choice: FrameChoice, reader: Reader = "auto", part: Part | None = None) -> Clip:
    """Return the chosen frames of a video or of a part of it. Raises MediaError if any of them cannot be decoded.

    ``auto`` tries decord (if it is installed), then PyAV; ``Clip.fallback`` then gives the reason why decord failed.
    """
    index, first, total, indices = _chosen(path, choice, part)
    seconds = index.seconds[first : first + total]
    frames, served, fallback = _frames(path, index, indices, reader)
    return Clip(
        frames=frames,
        indices=indices,
        timestamps=index.seconds[indices] - seconds[0],
        fps=_frame_rate(index, path),
        total=total,
        reader=served,
        chosen_by="time" if has_variable_rate(seconds) else "index",
        fallback=fallback,
        first=first,
    )


def probe(path: Path, choice: FrameChoice, reader: Reader = "auto", part: Part | None = None) -> None:
    """Decode only the first and the last of the chosen frames. Raises MediaError."""
    index, _, _, indices = _chosen(path, choice, part)
    _frames(path, index, indices[[0, -1]], reader)


def reading(
    decode_video: Callable[..., Any], choice: FrameChoice | None, reader: Reader, part: Part | None
) -> tuple[Callable[..., Any], tuple]:
    """Return the function that decodes a file, and its arguments after the path.

    It is ``decode_video`` (`decode` or `probe`) for a video, and `read_image` if ``choice`` is None.
    """
    if choice is None:
        return read_image, ()
    return decode_video, (choice, reader) if part is None else (choice, reader, part)


def read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image with its EXIF orientation applied. Raises MediaError."""
    from PIL import Image, ImageOps

    _check_file(path)
    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise MediaError(path, f"Pillow says: {error}", "an image that decodes") from None


def _frames(
    path: Path, index: Index, indices: Int[np.ndarray, " n"], reader: Reader
) -> tuple[UInt8[np.ndarray, "n h w 3"], str, str]:
    """Return the frames, the reader that decoded them, and why other readers failed. Repeated frames are decoded once."""
    distinct, where = np.unique(indices, return_inverse=True)
    readers = (reader,) if reader != "auto" else ("decord", "pyav") if has_decord() else ("pyav",)
    problems: list[MediaError] = []
    for name in readers:
        try:
            frames = read_frames(path, index, distinct, name)
            if frames.shape[0] != len(distinct) or frames.ndim != 4 or frames.shape[-1] != 3:
                raise MediaError(path, f"an array of shape {frames.shape}", f"{len(distinct)} frames of 3 colours")
        except MediaError as error:
            problems.append(error)
        else:
            frames = frames if len(distinct) == len(indices) else frames[where]
            return frames, name, "; ".join(error.found for error in problems)
    raise MediaError(path, "; ".join(error.found for error in problems), problems[-1].expected, problems[-1].advice)


def _bounds(index: Index, part: Part | None, path: Path) -> tuple[int, int]:
    """Return the first index of a part and the index after its last frame; a part ends at the end of the file at the latest."""
    total = len(index.shown)
    if part is None:
        return 0, total
    start, stop, unit = part
    if unit == "frames":
        first, end = int(start), min(int(stop) + 1, total)
    else:
        inside = (index.seconds >= start - ROUNDED) & (index.seconds <= stop + ROUNDED)
        first, end = int(inside.argmax()), int(inside.argmax() + inside.sum())
    if end <= first:
        found = f"{total} frames, the last at {index.seconds[-1]:.3f} s"
        raise MediaError(path, found, f"frames from {start:g} to {stop:g} {unit}", "check the annotation's part")
    return first, end


def _chosen(path: Path, choice: FrameChoice, part: Part | None) -> tuple[Index, int, int, Int[np.ndarray, " f"]]:
    """Return a file's index, the first index and the number of frames of the part, and the indices of the chosen frames."""
    _check_file(path)
    index = read_index(path)
    fps, (first, end) = _frame_rate(index, path), _bounds(index, part, path)
    seconds = index.seconds[first:end]
    try:
        indices = choose(end - first, fps, choice, seconds if has_variable_rate(seconds) else None)
    except ValueError as error:
        raise MediaError(path, str(error), "a clip that the frame choice fits") from None
    return index, first, end - first, indices + first


def _frame_rate(index: Index, path: Path) -> float:
    """Return the frames per second: the rate that the container states if the time stamps confirm it, else the measured one.

    The stated rate is preferred so that 30 stays exactly 30: temporal positions are truncated to integers, and 29.9999999
    would change them.
    """
    length = float(index.seconds[-1])
    if length > 0:
        measured = (len(index.shown) - 1) / length
        agrees = index.stated_fps is not None and abs(index.stated_fps - measured) <= RATE_TOLERANCE * measured
        return index.stated_fps if agrees else round(measured, 4)
    if index.stated_fps is None:
        raise MediaError(path, "neither time stamps nor a rate", "a frame rate", "encode the video again")
    return index.stated_fps


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise no_such_file(path, "something else" if path.exists() else "no such file")
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise MediaError(path, "an empty file", "a media file")
    if head.startswith(PLAYLISTS):
        raise MediaError(path, "a playlist, which refers to other files", "a media file")
