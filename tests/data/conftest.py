"""Small real media, written on the fly, and small annotation files."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

RATE = 30


def painted(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Noise that moves, under a band whose brightness tells the frame's number, modulo 60."""
    noise = np.random.default_rng(7).integers(0, 255, (height, width, 3), dtype=np.uint8)
    frame = np.roll(noise, 2 * number, axis=1)
    frame[:16] = number % 60 * 4
    return frame


def number_of(frame: np.ndarray) -> int:
    """The number of a decoded frame, modulo 60, from its band."""
    return round(float(frame[4:12].mean()) / 4)


@pytest.fixture(scope="session")
def write_video():
    def write(path, frames=60, codec="libx264", times=None, options=None, container=None, size=(48, 64), offset=0):
        """``times`` are milliseconds; without them the rate is 30 a second."""
        with av.open(str(path), "w", options=container or {}) as file:
            stream = file.add_stream(codec, rate=RATE, options=options or {"crf": "10"})
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            if times is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            for number in range(frames):
                frame = av.VideoFrame.from_ndarray(painted(number, *size), format="rgb24")
                frame.pts = number + offset if times is None else times[number]
                frame.time_base = Fraction(1, RATE) if times is None else Fraction(1, 1000)
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
        return Path(path)

    return write


@pytest.fixture(scope="session")
def clip_path(tmp_path_factory, write_video):
    """60 frames at 30 a second, H.264 with B-frames."""
    return write_video(tmp_path_factory.mktemp("media") / "clip.mp4")


@pytest.fixture(scope="session")
def long_path(tmp_path_factory, write_video):
    """120 frames, the index in front, so that the head survives a cut."""
    return write_video(
        tmp_path_factory.mktemp("media") / "long.mp4", 120, container={"movflags": "faststart"}, size=(96, 128)
    )


@pytest.fixture
def write_image():
    def write(path, height=6, width=10, **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
        Image.fromarray(pixels).save(path, **options)
        return pixels

    return write


@pytest.fixture
def write_rows(tmp_path):
    def write(rows, name="rows.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return name

    return write


@pytest.fixture
def root(tmp_path, write_video, write_image):
    """A data root with two videos and an image."""
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mp4", 30)
    write_video(tmp_path / "videos" / "b.mp4", 20)
    write_image(tmp_path / "images" / "a.png")
    return tmp_path
