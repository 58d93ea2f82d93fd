"""From symbols to pixels: frames of a clip, the observation, and a real H.264 file.

Sprites are 18 px of a 56 px picture and saturated, because chroma is subsampled. The last slot (all lids close) starts
with a forced IDR frame and the quantiser is constant, so that the decoded tails of an octet are the same bit by bit:
otherwise skipped blocks keep traces of earlier motion and the last frame tells the hidden bits
(facts/evaluation.md 5.4).
"""

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
from PIL import Image

from mmrl.world.script import SLOTS, STATIONS, TAIL, Event

FRAMES_PER_SLOT = 2
FRAMES = SLOTS * FRAMES_PER_SLOT
FPS = 8  # so a clip lasts 2 s
QUANTISER = 18  # constant; rate control would carry history into the tail
GREY = (128, 128, 128)
PAINT = {
    "red": (222, 40, 40),
    "green": (40, 168, 60),
    "blue": (48, 72, 226),
    "yellow": (242, 216, 40),
    "purple": (178, 52, 200),
    "cyan": (60, 206, 216),
}
TRAYS = {"left": (250, 250, 250), "right": (12, 12, 12), "top": (120, 72, 36)}
HANDS = {"put": (236, 214, 190), "take": (70, 40, 30)}
CUES = {"A": (255, 120, 0), "B": (0, 200, 120), "C": (120, 90, 255), "D": (255, 90, 190)}  # border that codes a letter
TRAIN_LEVELS, TEST_LEVELS = (64, 96, 128), (80, 112, 144)  # grey levels of a channel
BACKGROUNDS = {  # every tone of some levels: those of the test pool lie between and beside those of the train pool
    "train": tuple(product(TRAIN_LEVELS, repeat=3)),
    "test": tuple(product(TEST_LEVELS, repeat=3)),
}
NOISE = 12  # grey levels, up or down, of the test pool's texture
BOXES = {"left": (5, 46), "right": (33, 46), "top": (19, 22)}  # x, y of a tray's corner in a picture of 56 px


def clip(script: Sequence[Event], canvas: np.ndarray) -> np.ndarray:
    """The frames of a script on a background: uint8 ``f h w c``, two a slot, the event plain to see in both."""
    frames = np.repeat(_room(canvas)[None], FRAMES, axis=0)
    for event in script:
        for phase in range(FRAMES_PER_SLOT):
            _happen(frames[event.slot * FRAMES_PER_SLOT + phase], event, phase)
    _close(frames[TAIL * FRAMES_PER_SLOT :])
    return frames


def observation(lamp: str, canvas: np.ndarray, cue: str | None = None) -> np.ndarray:
    """What is seen now: closed boxes, the lamp above one station, and a border, grey or of the cue's letter."""
    picture = _room(canvas)
    _close(picture[None])
    for place in STATIONS:
        x, y = BOXES[place]
        _fill(picture, x + 3, y - 16, 12, 12, (255, 250, 170) if place == lamp else (44, 44, 44))
    border, tint = round(4 * len(picture) / 56), GREY if cue is None else CUES[cue]
    picture[:border], picture[-border:], picture[:, :border], picture[:, -border:] = tint, tint, tint, tint
    return picture


def canvas(pool: str, background: int, texture: int | None, size: int) -> np.ndarray:
    """An empty table: flat in the train pool, other tones and a grain of its own in the test pool."""
    picture = np.empty((size, size, 3), np.uint8)
    picture[:] = BACKGROUNDS[pool][background]
    if texture is None:
        return picture
    grain = np.random.Generator(np.random.PCG64(texture)).integers(-NOISE, NOISE + 1, size=(size, size, 1))
    return np.clip(picture.astype(np.int16) + grain, 0, 255).astype(np.uint8)


def write_clip(path: Path, frames: np.ndarray) -> None:
    """Encodes frames as H.264, deterministic for one encoder build."""
    options = {"preset": "veryfast", "qp": str(QUANTISER), "bf": "0", "sc_threshold": "0", "forced-idr": "1"}
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.gop_size, stream.thread_count = "yuv420p", FRAMES, 1
        stream.codec_context.time_base = Fraction(1, FPS)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            if index in (0, TAIL * FRAMES_PER_SLOT):
                frame.pict_type = av.video.frame.PictureType.I
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def read_clip(path: Path) -> np.ndarray:
    """All frames of a clip: uint8 ``f h w c``."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def write_picture(path: Path, picture: np.ndarray) -> None:
    """A PNG, never grabbed from an encoded video."""
    Image.fromarray(picture).save(path, format="PNG", compress_level=6)


def digest(path: Path) -> str:
    """SHA-256 of a clip's decoded planes (YUV 4:2:0); of the file it would change with every encoder build."""
    told = hashlib.sha256()
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            told.update(np.ascontiguousarray(frame.to_ndarray()))
    return told.hexdigest()


def encoder() -> str:
    """Which library wrote the clips."""
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"PyAV {av.__version__}, libavcodec {version}, libx264"


def sampled(frames: int, total: int = FRAMES) -> list[int]:
    """Evenly spaced frame numbers, both ends included: round(linspace(0, total - 1, frames))."""
    return np.linspace(0, total - 1, frames).round().astype(int).tolist()


def _room(canvas: np.ndarray) -> np.ndarray:
    picture = canvas.copy()
    for place, (x, y) in BOXES.items():
        _fill(picture, x, y, 18, 8 if place != "top" else 4, TRAYS[place])
    return picture


def _happen(picture: np.ndarray, event: Event, phase: int) -> None:
    x, y = BOXES[event.place]
    put = event.verb == "put"
    lift = 18 - phase if put else 18 + phase  # px above the tray: going down, or coming up
    _fill(picture, x, y - lift, 18, 18, (24, 24, 24))
    _fill(picture, x + 1, y - lift + 1, 16, 16, PAINT[event.colour])
    if put:  # an open pale hand behind the sprite's upper corners
        _fill(picture, x - 2, y - lift - 2, 4, 10, HANDS["put"])
        _fill(picture, x + 16, y - lift - 2, 4, 10, HANDS["put"])
    else:  # a closed dark hand over its middle
        _fill(picture, x + 6, y - lift - 3, 6, 13, HANDS["take"])
    tray = 8 if event.place != "top" else 4
    _fill(picture, x, y, 18, tray, TRAYS[event.place])


def _close(frames: np.ndarray) -> None:
    for frame in frames:
        for x, y in BOXES.values():
            _fill(frame, x - 2, y - 4, 22, 4, (190, 170, 120))


def _fill(picture: np.ndarray, x: int, y: int, width: int, height: int, paint: tuple[int, int, int]) -> None:
    scale = len(picture) / 56
    left, top, right, bottom = (max(0, round(edge * scale)) for edge in (x, y, x + width, y + height))
    picture[top:bottom, left:right] = paint
