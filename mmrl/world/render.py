"""From symbols to pixels: the frames of a clip, and the observation.

Every frame of a slot shows the slot's whole event; slots without one show the empty table; in the last slot all lids
close, in all four videos of an octet alike. What a box holds is never seen (facts/evaluation.md 5.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmrl.world.axes import FORMATS, LAYOUTS, Environment
from mmrl.world.dice import Dice
from mmrl.world.script import PLACES, SLOTS, STATIONS, TAIL, Event, Pair
from mmrl.world.sprites import CAST, PAINT, SPRITE, UNITS, Ink, Look, stamp

SIZES = (56, 448)  # px
UNREADABLE = (48, 72)  # widths at which decord 0.6.0 fails to copy a frame, whatever the codec
PAIRED = ("SHELL", "KEY", "DELIVER")  # families whose stations have two mats
TRAYS = {"left": (250, 250, 250), "right": (12, 12, 12), "top": (120, 72, 36)}
DEPTH = {"left": 8, "right": 8, "top": 4}  # units, of a tray
LID = (190, 170, 120)
LIT, UNLIT = (255, 250, 170), (44, 44, 44)
BORDER, GREY = 4, (128, 128, 128)  # units; of an observation
CUES = {"A": (255, 120, 0), "B": (0, 200, 120), "C": (120, 90, 255), "D": (255, 90, 190)}  # border that codes a letter
AMPLITUDE = 12  # grey levels, up or down, of a texture
SWAY = 2.0  # units that a camera pans
ZOOM = 0.06


@dataclass(frozen=True, slots=True)
class Dial:
    """How large and how long a clip is."""

    size: int = 128  # px, of a square picture; even
    frames_per_slot: int = 8
    fps: int = 8

    def __post_init__(self) -> None:
        low, high = SIZES
        if not low <= self.size <= high or self.size % 2:
            raise ValueError(f"size: expected an even number of px in {low}..{high}, found {self.size}")
        if not 1 <= self.frames_per_slot <= 64:
            raise ValueError(
                f"frames_per_slot: expected 1..64, so that each of the {SLOTS} events has a frame, found {self.frames_per_slot}"
            )
        if not 1 <= self.fps <= 60:
            raise ValueError(f"fps: expected 1..60 frames a second, found {self.fps}")

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return SLOTS * self.frames_per_slot

    @property
    def tail_start(self) -> int:
        """The frame from which on all four videos of an octet are the same."""
        return TAIL * self.frames_per_slot


SMALL = Dial(size=56, frames_per_slot=2, fps=8)  # what the small base model sees


def clip(
    script: Sequence[Event],
    family: str,
    mats: Sequence[Pair],
    environment: Environment,
    dial: Dial,
    gripper_tint: str | None = None,
) -> np.ndarray:
    """The frames of a script: uint8 ``f h w c``. ``gripper_tint`` is a colour's name, for cue S2."""
    room = _room(family, mats, environment, dial)
    frames = np.repeat(room[None], dial.frames, axis=0)
    _move_about(frames, environment)
    look = Look(_scale(room), environment.skin, environment.gripper, gripper_tint)
    for event in script:
        for phase in range(dial.frames_per_slot):
            time = _time(phase, environment, dial)
            _happen(frames[event.slot * dial.frames_per_slot + phase], room, event, time, environment, look)
    for phase in range(dial.frames_per_slot):
        _close(frames[dial.tail_start + phase], environment, _time(phase, environment, dial))
    return _film(frames, environment)


def observation(
    lamp: str | None,
    family: str,
    mats: Sequence[Pair],
    environment: Environment,
    dial: Dial,
    border: str | None = None,
) -> np.ndarray:
    """What is seen now: uint8 ``h w c``. Closed boxes, a lamp lit above one station or none, a border of a letter's
    colour (cue S1) or grey."""
    picture = _room(family, mats, environment, dial)
    frames = np.repeat(picture[None], dial.frames, axis=0) if environment.movers else picture[None]
    _move_about(frames, environment)
    picture = frames[-1]
    _close(picture, environment, 1.0)
    for place in STATIONS:
        x, y = LAYOUTS[environment.layout][place]
        _fill(picture, x + 3, y - 18, 12, 12, (0, 0, 0))
        _fill(picture, x + 4, y - 17, 10, 10, LIT if place == lamp else UNLIT)
    picture = _shot(picture, environment, 1.0, (0, 0))
    _frame(picture, GREY if border is None else CUES[border])
    return picture


def _time(phase: int, environment: Environment, dial: Dial) -> float:
    """How far what happens in a slot has come, in [0, 1]."""
    return min(1.0, environment.speed * (phase + 0.5) / dial.frames_per_slot)


def _pixels(environment: Environment, dial: Dial) -> tuple[int, int]:
    """Height and width of a picture."""
    height, width = (2 * round(share * dial.size / 2) for share in FORMATS[environment.resolution])
    return height, width + 2 * (width in UNREADABLE)


def _room(family: str, mats: Sequence[Pair], environment: Environment, dial: Dial) -> np.ndarray:
    """The empty table: uint8 ``h w c``."""
    picture = np.empty((*_pixels(environment, dial), 3), np.uint8)
    picture[:] = tuple(bytes.fromhex(environment.palette[1:]))
    picture = _textured(picture, environment)
    for place in PLACES:
        _tray(picture, place, environment)
    if family in PAIRED:
        for place, pair in zip(STATIONS, mats, strict=True):
            x, y = LAYOUTS[environment.layout][place]
            for side, colour in enumerate(pair):
                _fill(picture, x + 1 + 8.5 * side, y + 3, 7.5, 4, GREY)
                _fill(picture, x + 1.5 + 8.5 * side, y + 3.5, 6.5, 3, PAINT[colour])
    return picture


def _textured(picture: np.ndarray, environment: Environment) -> np.ndarray:
    """The table with its texture."""
    if environment.texture == "plain":
        return picture
    height, width = picture.shape[:2]
    row, column = (np.arange(n) * UNITS // n for n in (height, width))
    if environment.texture == "noise":
        raw = np.random.PCG64(environment.grain).random_raw(UNITS * UNITS)
        grain = (raw % (2 * AMPLITUDE + 1)).astype(np.int16).reshape(UNITS, UNITS)[row][:, column] - AMPLITUDE
    elif environment.texture == "stripe":
        grain = np.where((row[:, None] + column) // 4 % 2, AMPLITUDE, -AMPLITUDE)
    else:
        grain = np.where((row[:, None] // 7 + column // 7) % 2, AMPLITUDE, -AMPLITUDE)
    return np.clip(picture.astype(np.int16) + grain[..., None], 0, 255).astype(np.uint8)


def _move_about(frames: np.ndarray, environment: Environment) -> None:
    """Grey blobs go to and fro along the edges."""
    for mover in range(environment.movers):
        dice = Dice("mover", environment.grain, mover)
        edge, start, pace, tone = dice.below(4), dice.between(0, 2), dice.between(-2, 2), 96 + 16 * dice.below(5)
        for index, frame in enumerate(frames):
            along = abs((start + pace * index / len(frames)) % 2 - 1) * (UNITS - 5)
            x, y = ((along, 0), (along, UNITS - 3), (0, along), (UNITS - 3, along))[edge]
            _fill(frame, x, y, *((5, 3) if edge < 2 else (3, 5)), (tone, tone, tone))


def _happen(
    picture: np.ndarray, room: np.ndarray, event: Event, time: float, environment: Environment, look: Look
) -> None:
    """An event at a time in [0, 1] of its slot; what sinks into the box is behind its tray."""
    x, y = LAYOUTS[environment.layout][event.place]
    for part, way in CAST[event.verb]:
        right, down = way(time)
        _press(picture, stamp(part, event.thing, look), x + right, y - SPRITE + down, look.scale)
    front = _box(picture, x, y, SPRITE, DEPTH[event.place])
    picture[front] = room[front]


def _press(picture: np.ndarray, mark, x: float, y: float, scale: tuple[float, float]) -> None:
    """Draws a stamp whose sprite's corner is at x, y, as much of it as lies in the picture."""
    top, left = round(y * scale[0]) + mark.corner[0], round(x * scale[1]) + mark.corner[1]
    height, width = mark.mask.shape[:2]
    cut = (slice(max(0, -top), picture.shape[0] - top), slice(max(0, -left), picture.shape[1] - left))
    goal = picture[max(0, top) : top + height, max(0, left) : left + width]
    np.copyto(goal, mark.pixels[cut], where=mark.mask[cut])


def _close(picture: np.ndarray, environment: Environment, time: float) -> None:
    """All lids come down."""
    for x, y in LAYOUTS[environment.layout].values():
        _fill(picture, x - 2, y - 4 - 6 * (1 - time), SPRITE + 4, 4, LID)


def _film(frames: np.ndarray, environment: Environment) -> np.ndarray:
    """What the camera sees of the frames: uint8 ``f h w c``."""
    if environment.camera == "still":
        return frames
    dice, last = Dice("camera", environment.grain), max(1, len(frames) - 1)
    shakes = [(dice.between(-1, 1), dice.between(-1, 1)) for _ in frames]
    return np.stack([_shot(f, environment, i / last, shakes[i]) for i, f in enumerate(frames)])


def _shot(picture: np.ndarray, environment: Environment, time: float, shake: tuple[float, float]) -> np.ndarray:
    """A picture as the camera sees it at a time in [0, 1] of the clip; what lies outside repeats the edge."""
    name, zoom, right, down = environment.camera, 1.0, 0.0, 0.0
    if name == "still":
        return picture
    if name in ("pan_left", "pan_right"):
        right = SWAY * (2 * time - 1) * (1 if name == "pan_right" else -1)
    elif name == "jitter":
        right, down = shake
    else:
        zoom += ZOOM * time * (1 if name == "zoom_in" else -1)
    rows, columns = (
        np.clip(np.floor((np.arange(n) + 0.5 - n / 2) / zoom + n / 2 + shift * n / UNITS), 0, n - 1).astype(np.intp)
        for n, shift in zip(picture.shape[:2], (down, right), strict=True)
    )
    return picture.take(rows, axis=0).take(columns, axis=1)


def _frame(picture: np.ndarray, paint: Ink) -> None:
    """A border around a picture."""
    down, across = (round(BORDER * scale) for scale in _scale(picture))
    picture[:down], picture[-down:], picture[:, :across], picture[:, -across:] = paint, paint, paint, paint


def _tray(picture: np.ndarray, place: str, environment: Environment) -> None:
    _fill(picture, *LAYOUTS[environment.layout][place], SPRITE, DEPTH[place], TRAYS[place])


def _fill(picture: np.ndarray, x: float, y: float, width: float, height: float, paint: Ink) -> None:
    """Paints a rectangle of units, as much of it as lies in the picture."""
    picture[_box(picture, x, y, width, height)] = paint


def _box(picture: np.ndarray, x: float, y: float, width: float, height: float) -> tuple[slice, slice]:
    """The pixels of a rectangle of units."""
    down, across = _scale(picture)
    top, bottom, left, right = (
        max(0, round(edge * scale)) for edge, scale in ((y, down), (y + height, down), (x, across), (x + width, across))
    )
    return slice(top, bottom), slice(left, right)


def _scale(picture: np.ndarray) -> tuple[float, float]:
    """Px in a unit, down and across."""
    return picture.shape[0] / UNITS, picture.shape[1] / UNITS
