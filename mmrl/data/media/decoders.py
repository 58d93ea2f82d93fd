"""One interface to two video decoders, decord and PyAV: the time of each frame, and the frames at given indices.

The index of a file comes from its packets, which PyAV lists without decoding, because containers may state a wrong length.
Measured with decord 0.6.0 and PyAV 18.1:

- both decode the 8-bit frames of H.264, MPEG-4 and VP9 to the same bits;
- if groups of pictures are open (x265's default; some H.264), decord's seeking returns wrong frames without an error:
  frame 96 for frame 99. PyAV decodes such files, AV1, and clips with a rotation;
- neither detects damage that the codec conceals (a flipped byte inside a slice).
"""

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float, Int, UInt8

from mmrl.data.media.errors import MediaError

# How often decord retries a frame that does not arrive. Its default of 10240 takes long on a broken file; with 64 and 128
# intact clips failed, with 512 none did.
EOF_RETRIES = "2048"
ENCODE = "encode the video again"


@dataclass(frozen=True, eq=False)
class Index:
    """The index of a video file's frames."""

    shown: tuple[int, ...]  # time stamps of the frames, ascending, in the stream's unit
    unit: float  # the stream's unit in seconds
    stated_fps: float | None  # the frame rate that the container states, which may be wrong
    seekable: bool  # True if every key frame is shown before all frames that are stored after it

    @property
    def seconds(self) -> Float[np.ndarray, " total"]:
        """The time of each frame in seconds, from the first one on."""
        return (np.asarray(self.shown, dtype=np.float64) - self.shown[0]) * self.unit


def read_index(path: Path) -> Index:
    """Return the index of a video from its packets. Raises MediaError if there are fewer than the header states."""
    try:
        with _opened(path) as container:
            stream = _video_stream(container, path)
            stated, unit, promised = stream.average_rate, float(stream.time_base), stream.frames
            packets = [  # without their content; the last one is empty and is no frame
                (packet.pts, packet.is_keyframe, packet.is_discard) for packet in container.demux(stream) if packet.size
            ]
        if len(packets) < promised:
            raise MediaError(path, f"{len(packets)} of them", f"the {promised} frames that its header promises")
        times = [time for time, _, discard in packets if not discard]
        if not times:
            raise MediaError(path, "none", "frames")
        known = None not in times and len(set(times)) == len(times)
        shown = sorted(times) if known else _frame_times(path)
        seekable = known and len(times) == len(packets) and _closed([(time, key) for time, key, _ in packets])
    except av.FFmpegError as error:
        raise _undecodable(path, "PyAV", error) from None
    return Index(tuple(shown), unit, float(stated) if stated else None, seekable)


def read_frames(path: Path, index: Index, wanted: Int[np.ndarray, " n"], reader: str) -> UInt8[np.ndarray, "n h w 3"]:
    """Return the frames at the indices ``wanted``, which ascend without repetition, as RGB. Raises MediaError."""
    readers = {"decord": _by_decord, "pyav": _by_pyav}
    if reader not in readers:
        raise ValueError(f"reader: expected {' or '.join(readers)}, found {reader!r}")
    return readers[reader](path, index, wanted)


def has_decord() -> bool:
    """Return True if decord is installed; it exists for few platforms."""
    return importlib.util.find_spec("decord") is not None


def _by_decord(path: Path, index: Index, wanted: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Decode with decord, which seeks from key frame to key frame."""
    if not index.seekable:
        found = "open groups of pictures or unclear time stamps"
        raise MediaError(path, found, "a file in which decord can seek", ENCODE)
    os.environ.setdefault("DECORD_EOF_RETRY_MAX", EOF_RETRIES)
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    try:
        video = decord.VideoReader(str(path), num_threads=1)
        if len(video) != len(index.shown):
            raise MediaError(path, f"{len(video)} by decord's count", f"{len(index.shown)} frames")
        return video.get_batch(wanted.tolist()).asnumpy()
    except MediaError:
        raise
    except (decord.DECORDError, RuntimeError) as error:  # the latter when it cannot open a file
        raise _undecodable(path, "decord", error) from None


def _by_pyav(path: Path, index: Index, wanted: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Decode with PyAV, from the first frame of the file to the last one wanted."""
    times = {index.shown[number] for number in wanted}
    frames = []
    try:
        for frame in _decoded(path):
            if frame.pts in times:
                frames.append(_upright(frame, path))
            if len(frames) == len(times):
                break
    except av.FFmpegError as error:
        raise _undecodable(path, "PyAV", error) from None
    sizes = {frame.shape for frame in frames}
    if len(frames) < len(times) or len(sizes) > 1:
        raise MediaError(path, f"{len(frames)} in {len(sizes)} sizes", f"{len(times)} frames of one size")
    return np.stack(frames)


def _closed(packets: list[tuple[int, bool]]) -> bool:
    """Return True if no packet (time shown, key) that is stored after a key frame is shown before it."""
    earliest = packets[-1][0]
    for time, key in reversed(packets):
        earliest = min(earliest, time)
        if key and earliest < time:
            return False
    return packets[0][1]


def _frame_times(path: Path) -> list[int]:
    """Return all time stamps by decoding the file, which is slow, for containers whose packets have no time stamps."""
    times = [frame.pts for frame in _decoded(path)]
    if not times or None in times or len(set(times)) < len(times):
        raise MediaError(path, "frames without one", "a time stamp of its own on every frame", ENCODE)
    return sorted(times)


def _decoded(path: Path) -> Iterator[av.VideoFrame]:
    with _opened(path) as container:
        stream = _video_stream(container, path)
        stream.codec_context.thread_count = 1
        yield from container.decode(stream)


def _opened(path: Path) -> av.container.InputContainer:
    return av.open(str(path), metadata_errors="replace")  # titles come in any encoding


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    if not container.streams.video:
        raise MediaError(path, "none", "a video stream")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise MediaError(path, "an unknown one", "a codec that FFmpeg can decode", ENCODE)
    return stream


def _upright(frame: av.VideoFrame, path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Return a frame as a player shows it: phones store portrait videos in landscape, with a rotation in the metadata."""
    turns, rest = divmod(round(frame.rotation), 90)
    if rest:
        raise MediaError(path, f"a rotation of {frame.rotation} degrees", "a rotation by a multiple of 90 degrees")
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def _undecodable(path: Path, library: str, error: Exception) -> MediaError:
    reason = " ".join(str(error).split())
    return MediaError(path, f"{library} says: {reason[:200]}", "a video that decodes")
