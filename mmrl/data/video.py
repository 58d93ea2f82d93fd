"""Videos and images as arrays. NumPy only: the processes that decode import this module."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from mmrl.data.errors import MediaError
from mmrl.data.frame_choice import FrameChoice, choose, varies
from mmrl.data.readers import Film, has_decord, open_film

__all__ = ["Clip", "FrameChoice", "MediaError", "Reader", "choose", "decode", "probe", "read_image"]

Reader = Literal["auto", "decord", "pyav"]
RATE_TOLERANCE = 0.01  # by which the stated rate may miss the measured one, which stops short of the last frame's end
PLAYLISTS = (b"#EXTM3U", b"ffconcat")  # text files that make FFmpeg open other files


@dataclass(frozen=True, eq=False)
class Clip:
    """The frames of a video that are looked at, and when they are shown."""

    frames: UInt8[np.ndarray, "f h w 3"]  # red, green, blue
    indices: Int[np.ndarray, " f"]  # in the file
    timestamps: Float[np.ndarray, " f"]  # seconds since the first frame of the file, from its time stamps
    fps: float  # frames per second of the file, measured
    total: int  # frames of the file
    reader: str  # decord or pyav
    chosen_by: Literal["index", "time"] = "index"  # "time" where the frame rate varies
    fallback: str = ""  # why the reader that was tried first did not serve

    @property
    def sampled_fps(self) -> float:
        """Frames looked at per second, from which Qwen2.5-VL gets its temporal positions (seconds per grid step = 2 /
        sampled_fps).

        ``len(indices) / total * fps``, as in transformers' ``VideoMetadata.sampled_fps`` and in qwen-vl-utils, with
        which the model was trained. It is a convention: the true mean distance is ``(timestamps[-1] - timestamps[0])
        / (f - 1)`` seconds, which under "linspace" is longer than ``1 / sampled_fps`` by ``f (total - 1) / (total (f
        - 1))``.
        """
        return len(self.indices) * self.fps / self.total

    @property
    def nbytes(self) -> int:
        """Memory that the clip takes."""
        return self.frames.nbytes + self.indices.nbytes + self.timestamps.nbytes


def decode(path: Path, choice: FrameChoice, reader: Reader = "auto") -> Clip:
    """The chosen frames of a video, all of them, or MediaError.

    ``auto`` asks decord (where it is installed), then PyAV; ``Clip.fallback`` says why decord did not serve.
    """
    return _first_that_serves(path, choice, reader, ends_only=False)


def probe(path: Path, choice: FrameChoice, reader: Reader = "auto") -> None:
    """Decode only the first and the last of the chosen frames. Raises MediaError."""
    _first_that_serves(path, choice, reader, ends_only=True)


def read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """An image, the right way up (its EXIF orientation applied). Raises MediaError."""
    from PIL import Image, ImageOps

    _check_file(path)
    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        Image.DecompressionBombError,
    ) as error:  # Pillow's formats differ
        raise MediaError(path, f"Pillow says: {error}", "an image that decodes") from None


def _first_that_serves(path: Path, choice: FrameChoice, reader: Reader, ends_only: bool) -> Clip:
    _check_file(path)
    problems = []
    for name in _readers(reader):
        try:
            clip = _look(open_film(path, name), name, path, choice, ends_only)
        except MediaError as error:
            problems.append(error)
        else:
            return replace(clip, fallback="; ".join(error.found for error in problems))
    last = problems[-1]
    raise MediaError(path, "; ".join(error.found for error in problems), last.expected, last.advice)


def _readers(reader: Reader) -> tuple[str, ...]:
    if reader == "auto":
        return ("decord", "pyav") if has_decord() else ("pyav",)
    return (reader,)


def _look(film: Film, reader: str, path: Path, choice: FrameChoice, ends_only: bool) -> Clip:
    seconds = film.seconds
    total = len(seconds)
    if total == 0:
        raise MediaError(path, "none", "frames")
    fps = _frame_rate(film, path)
    in_time = varies(seconds)
    try:
        indices = choose(total, fps, choice, seconds if in_time else None)
    except ValueError as error:
        raise MediaError(path, str(error), "a clip that the frame choice fits") from None
    if ends_only:
        indices = indices[[0, -1]]
    return Clip(
        frames=_decoded(film, indices, path),
        indices=indices,
        timestamps=seconds[indices],
        fps=fps,
        total=total,
        reader=reader,
        chosen_by="time" if in_time else "index",
    )


def _decoded(film: Film, indices: Int[np.ndarray, " n"], path: Path) -> UInt8[np.ndarray, "n h w 3"]:
    """A short clip shows frames more than once; they are decoded once."""
    distinct, where = np.unique(indices, return_inverse=True)
    frames = film.frames(distinct)
    if len(frames) != len(distinct) or frames.ndim != 4 or frames.shape[-1] != 3:
        raise MediaError(path, f"an array of shape {frames.shape}", f"{len(distinct)} frames of 3 colours")
    return frames if len(distinct) == len(indices) else frames[where]


def _frame_rate(film: Film, path: Path) -> float:
    """Frames per second over the whole file:

    the container's word where its time stamps bear it out, else what they say.

    Preferring the word keeps 30 at exactly 30: temporal positions are truncated to integers, and 29.9999999 would
    move them.
    """
    length = float(film.seconds[-1] - film.seconds[0])
    if length > 0:
        measured = (len(film.seconds) - 1) / length
        agrees = film.stated_fps is not None and abs(film.stated_fps - measured) <= RATE_TOLERANCE * measured
        return film.stated_fps if agrees else round(measured, 4)
    if film.stated_fps is None:
        raise MediaError(path, "neither time stamps nor a rate", "a frame rate", "encode the video again")
    return film.stated_fps


def _check_file(path: Path) -> None:
    if not path.is_file():
        found = "something else" if path.exists() else "no such file"
        raise MediaError(path, found, "a file", "check data.root and the annotations")
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise MediaError(path, "an empty file", "a media file")
    if head.startswith(PLAYLISTS):
        raise MediaError(path, "a playlist, which refers to other files", "a media file")
