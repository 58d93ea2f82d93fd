"""Clips as video files, written so that what came before the shared tail leaves no trace in it.

Skipped blocks keep residue of earlier motion and rate control carries history, so that decoded tails of an octet's
videos would differ though their frames do not, and the last frame would tell what only the events may. Hence a constant
quantiser, no frame that refers across the tail's start, and a key frame there; and one thread, so that a clip is the same
every time.
"""

import hashlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from mmrl.world.axes import Environment

CODECS: Mapping[str, tuple[str, dict[str, str]]] = {  # encoders and their settings; the test pool's are coarser
    "h264": ("libx264", {"preset": "veryfast", "qp": "23", "bf": "0", "sc_threshold": "0", "rc-lookahead": "0"}),
    "h265": (
        "libx265",
        {
            "preset": "ultrafast",
            "x265-params": "qp=28:ipratio=1:aq-mode=0:ctu=16:no-info=1:bframes=0:scenecut=0:open-gop=0:keyint=-1:rc-lookahead=0"
            ":pools=none:frame-threads=1:wpp=0:log-level=none",
        },
    ),
    "vp9": (
        "libvpx-vp9",
        {
            "deadline": "realtime",
            "cpu-used": "8",
            "lag-in-frames": "0",
            "auto-alt-ref": "0",
            "qmin": "36",
            "qmax": "36",
            "crf": "36",
            "b": "0",
        },
    ),
}


def write_clip(path: Path, frames: np.ndarray, fps: int, environment: Environment, tail_start: int) -> None:
    """Encodes frames, uint8 ``f h w c``, with the environment's codec as MP4; deterministic for one encoder build.

    Frames before and from ``tail_start`` on are encoded apart. Raises ValueError if this build of PyAV lacks the encoder.
    """
    codec, options = codec_of(environment.codec)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=fps, options=dict(options))
        tail = av.CodecContext.create(codec, "w")
        tail.options, tail.framerate, tail.flags = dict(options), fps, stream.codec_context.flags
        for context in (stream.codec_context, tail):
            context.height, context.width, context.pix_fmt = *frames.shape[1:3], "yuv420p"
            context.gop_size, context.thread_count, context.time_base = len(frames), 1, Fraction(1, fps)
        for context, part in ((stream.codec_context, range(tail_start)), (tail, range(tail_start, len(frames)))):
            for packet in _encoded(context, frames, part, Fraction(1, fps)):
                packet.stream = stream
                container.mux(packet)


def _encoded(
    context: av.VideoCodecContext, frames: np.ndarray, numbers: range, time_base: Fraction
) -> Iterator[av.Packet]:
    """Yield the packets of some frames; the first is a key frame, and none refers to a frame outside."""
    for number in numbers:
        frame = av.VideoFrame.from_ndarray(frames[number], format="rgb24")
        frame.pts, frame.time_base = number, time_base
        yield from context.encode(frame)
    yield from context.encode()


def read_clip(path: Path) -> np.ndarray:
    """Return all frames of a clip: uint8 ``f h w c``."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Writes uint8 ``h w c`` as a PNG; an observation is never grabbed from an encoded video."""
    Image.fromarray(picture).save(path, format="PNG", compress_level=6)


def planes_digest(path: Path) -> str:
    """SHA-256 of a clip's decoded planes (YUV 4:2:0); of the file it would change with every encoder build."""
    told = hashlib.sha256()
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            told.update(np.ascontiguousarray(frame.to_ndarray()))
    return told.hexdigest()


def encoder() -> str:
    """Which libraries write the clips."""
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"PyAV {av.__version__}, libavcodec {version}, {', '.join(name for name, _ in CODECS.values())}"


def codec_of(name: str) -> tuple[str, dict[str, str]]:
    """Return a codec's encoder and settings. Raises ValueError for an unknown one, or if this build of PyAV lacks its encoder."""
    if name not in CODECS:
        raise ValueError(f"codec: expected one of {', '.join(CODECS)}, found {name!r}")
    if CODECS[name][0] not in av.codecs_available:
        raise ValueError(
            f"codec {name}: expected a PyAV with the encoder {CODECS[name][0]}, found none; "
            "install PyAV's wheel, or leave the axis codec at its train pool"
        )
    return CODECS[name]
