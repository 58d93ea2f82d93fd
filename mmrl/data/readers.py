"""Two libraries that decode video, seen alike: when each frame is shown, and the frames at some indices.

Measured (decord 0.6.0, PyAV 18.1): 8-bit frames of H.264, MPEG-4 and VP9 come out of both bit by bit the same. decord
cannot read AV1, nor clips that carry a rotation; PyAV reads both. Neither notices damage that the codec conceals (a
flipped byte inside a slice).
"""

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int, UInt8

from mmrl.data.errors import MediaError

# decord asks so often for a frame that does not come. Its 10240 keep a broken file busy for long; 64 fails on sound
# clips, 512 does not.
EOF_RETRIES = "2048"
ENCODE = "encode the video again"


class Film(Protocol):
    """An open video."""

    seconds: Float[np.ndarray, " total"]  # when each frame is shown, from the first one on
    stated_fps: float | None  # the container's word, which need not be true

    def frames(self, indices: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n h w 3"]:
        """The frames at ``indices``, which ascend without repetition."""
        ...


def open_film(path: Path, reader: str) -> Film:
    """The video at ``path``, opened by one reader. Raises MediaError."""
    if reader == "decord":
        return DecordFilm(path)
    if reader == "pyav":
        return PyavFilm(path)
    raise ValueError(f"reader: expected decord or pyav, found {reader!r}")


def has_decord() -> bool:
    """Whether decord is installed; it exists for few platforms."""
    return importlib.util.find_spec("decord") is not None


class DecordFilm:
    """A video as decord reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._decord = _import_decord()
        try:
            self._video = self._decord.VideoReader(str(path), num_threads=1)
            shown = np.asarray(self._video.get_frame_timestamp(list(range(len(self._video)))), dtype=np.float64)
        except (self._decord.DECORDError, RuntimeError) as error:
            raise _undecodable(path, "decord", error) from None
        self.seconds = shown.reshape(-1, 2)[:, 0] - (shown.flat[0] if shown.size else 0.0)
        self.stated_fps = float(self._video.get_avg_fps()) or None

    def frames(self, indices: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n h w 3"]:
        """Seeks from key frame to key frame."""
        try:
            return self._video.get_batch(indices.tolist()).asnumpy()
        except self._decord.DECORDError as error:
            raise _undecodable(self.path, "decord", error) from None


class PyavFilm:
    """A video as PyAV reads it:

    packets are counted first, since containers misstate their length; then one pass of decoding.
    """

    def __init__(self, path: Path) -> None:
        import av

        self.path = path
        self._errors = av.FFmpegError
        try:
            with av.open(str(path)) as container:
                stream = _video_stream(container, path)
                self.stated_fps = float(stream.average_rate) if stream.average_rate else None
                self._shown = _packet_times(container, stream, path) or self._frame_times(path)
                base = float(stream.time_base)
        except self._errors as error:
            raise _undecodable(path, "PyAV", error) from None
        self.seconds = (np.asarray(self._shown, dtype=np.float64) - min(self._shown, default=0)) * base

    def frames(self, indices: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n h w 3"]:
        """Decodes from the first frame to the last one wanted."""
        wanted = {self._shown[index] for index in indices}
        found = []
        try:
            for frame in _decoded(self.path):
                if frame.pts in wanted:
                    found.append(_upright(frame, self.path))
                if len(found) == len(wanted):
                    break
        except self._errors as error:
            raise _undecodable(self.path, "PyAV", error) from None
        sizes = {frame.shape for frame in found}
        if len(found) < len(wanted) or len(sizes) > 1:
            raise MediaError(self.path, f"{len(found)} in {len(sizes)} sizes", f"{len(wanted)} frames of one size")
        return np.stack(found)

    @staticmethod
    def _frame_times(path: Path) -> list[int]:
        times = sorted(frame.pts for frame in _decoded(path) if frame.pts is not None)
        if len(set(times)) < len(times) or not times:
            raise MediaError(path, "frames without one", "a time stamp of its own on every frame", ENCODE)
        return times


def _packet_times(container, stream, path: Path) -> list[int]:
    """When each frame is shown, in units of the stream, without decoding; empty where packets do not say."""
    packets = [packet for packet in container.demux(stream) if packet.size]  # the last one is empty and is no frame
    if len(packets) < stream.frames:
        raise MediaError(path, f"{len(packets)} of them", f"the {stream.frames} frames that its header promises")
    times = [packet.pts for packet in packets if not packet.is_discard]
    if None in times or len(set(times)) < len(times):
        return []
    return sorted(times)


def _decoded(path: Path):
    import av

    with av.open(str(path)) as container:
        stream = _video_stream(container, path)
        stream.codec_context.thread_count = 1
        yield from container.decode(stream)


def _video_stream(container, path: Path):
    if not container.streams.video:
        raise MediaError(path, "none", "a video stream")
    return container.streams.video[0]


def _upright(frame, path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """A frame as a player shows it: telephones store upright videos lying down, with a note to turn them."""
    turns, rest = divmod(round(frame.rotation), 90)
    if rest:
        raise MediaError(path, f"a rotation of {frame.rotation} degrees", "a rotation by a multiple of 90 degrees")
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def _import_decord() -> ModuleType:
    os.environ.setdefault("DECORD_EOF_RETRY_MAX", EOF_RETRIES)
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    return decord


def _undecodable(path: Path, library: str, error: Exception) -> MediaError:
    reason = " ".join(str(error).split())
    return MediaError(path, f"{library} says: {reason[:200]}", "a video that decodes")
