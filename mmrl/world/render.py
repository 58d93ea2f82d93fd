"""From symbols to pixels: the frames of a clip, and the observation.

Every frame of a slot shows the slot's whole event; slots without one show the empty table; in the last slot all lids
close, in all four videos of an octet alike. What a box holds is never seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmrl.world.axes import FORMATS, LAYOUTS, Environment
from mmrl.world.script import SLOTS, TAIL, Event, Pair
from mmrl.world.sprites import CAST, SPRITE, Stamp, stamp
from mmrl.world.table import DEPTH, GREY, box, close, empty_table, frame, light, move_about, scales, shot

SIZES = (56, 448)  # px
MOST_FRAMES, MOST_FPS = 64, 60  # a slot, a second
UNREADABLE = (48, 72)  # px; widths at which decord 0.6.0 cannot copy a frame, whatever the codec
CUES = {"A": (255, 120, 0), "B": (0, 200, 120), "C": (120, 90, 255), "D": (255, 90, 190)}  # border that codes a letter


@dataclass(frozen=True, slots=True)
class Dial:
    """How large and how long a clip is. Raises ValueError for what cannot be rendered."""

    size: int = 128  # px, of a square picture
    frames_per_slot: int = 8
    fps: int = 8

    def __post_init__(self) -> None:
        low, high = SIZES
        if not low <= self.size <= high or self.size % 2:
            raise ValueError(
                f"size: expected an even number of px in {low}..{high} (sprites of {low} px are the smallest that can be "
                f"told apart, and chroma is stored for pairs of px), found {self.size}"
            )
        if not 1 <= self.frames_per_slot <= MOST_FRAMES:
            raise ValueError(
                f"frames_per_slot: expected 1..{MOST_FRAMES} (each of {SLOTS} slots needs a frame of its own), "
                f"found {self.frames_per_slot}"
            )
        if not 1 <= self.fps <= MOST_FPS:
            raise ValueError(f"fps: expected 1..{MOST_FPS} frames a second, found {self.fps}")

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return SLOTS * self.frames_per_slot

    @property
    def tail_start(self) -> int:
        """The frame from which on all four videos of an octet are the same."""
        return TAIL * self.frames_per_slot


SMALL = Dial(size=56, frames_per_slot=2, fps=8)  # what the small base model sees


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """The state that all frames of a clip share."""

    table: np.ndarray  # uint8 h w c, empty
    environment: Environment
    dial: Dial
    tint: str | None  # of the gripper


def clip(
    script: Sequence[Event],
    family: str,
    mats: Sequence[Pair],
    environment: Environment,
    dial: Dial,
    gripper_tint: str | None = None,
) -> np.ndarray:
    """Return the frames of a script: uint8 ``f h w c``; ``gripper_tint`` is a colour's name (cue S2)."""
    stage, events = set_up(family, mats, environment, dial, gripper_tint), {event.slot: event for event in script}
    frames = np.empty((dial.frames, *stage.table.shape), np.uint8)
    for number in range(dial.frames):
        frames[number] = still(stage, number, events.get(number // dial.frames_per_slot))
    return frames


def observation(
    lamp: str | None,
    family: str,
    mats: Sequence[Pair],
    environment: Environment,
    dial: Dial,
    border: str | None = None,
) -> np.ndarray:
    """Return what is seen now, closed boxes and a lamp above a station or none: uint8 ``h w c``.

    Its border is grey, or of the colour that codes a letter (cue S1).
    """
    stage = set_up(family, mats, environment, dial)
    picture = stage.table.copy()
    move_about(picture, environment, 1.0)
    close(picture, environment, 1.0)
    light(picture, environment, lamp)
    picture = shot(picture, environment, 1.0, dial.frames - 1)
    frame(picture, GREY if border is None else CUES[border])
    return picture


def set_up(
    family: str, mats: Sequence[Pair], environment: Environment, dial: Dial, gripper_tint: str | None = None
) -> Stage:
    """Return the stage on which a clip is played."""
    table = empty_table(family, mats, environment, *_pixels(environment, dial))
    return Stage(table, environment, dial, gripper_tint)


def still(stage: Stage, number: int, event: Event | None) -> np.ndarray:
    """Frame ``number`` of a clip, with its slot's event or without one: uint8 ``h w c``."""
    dial, environment, picture = stage.dial, stage.environment, stage.table.copy()
    slot, phase = divmod(number, dial.frames_per_slot)
    within = min(1.0, environment.speed * (phase + 0.5) / dial.frames_per_slot)
    of_clip = number / (dial.frames - 1)
    move_about(picture, environment, of_clip)
    if event is not None:
        _happen(picture, stage, event, within)
    if slot == TAIL:
        close(picture, environment, within)
    return shot(picture, environment, of_clip, number)


def _pixels(environment: Environment, dial: Dial) -> tuple[int, int]:
    """Height and width of a picture, both even."""
    height, width = (2 * round(share * dial.size / 2) for share in FORMATS[environment.resolution])
    return height, width + 2 * (width in UNREADABLE)


def _happen(picture: np.ndarray, stage: Stage, event: Event, time: float) -> None:
    """An event at a time in [0, 1] of its slot; what sinks into the box is hidden by its tray."""
    look = (scales(picture), stage.environment.skin, stage.environment.gripper, stage.tint)
    x, y = LAYOUTS[stage.environment.layout][event.place]
    for part, way in CAST[event.verb]:
        right, down = way(time)
        _press(picture, stamp(part, event.thing, *look), x + right, y - SPRITE + down)
    front = box(picture, x, y, SPRITE, DEPTH[event.place])
    picture[front] = stage.table[front]


def _press(picture: np.ndarray, mark: Stamp, x: float, y: float) -> None:
    """Draws a stamp whose sprite's corner is at x, y in units, as much of it as lies in the picture."""
    pixels, mask, begins = mark
    corner = [round(at * scale) + start for at, scale, start in zip((y, x), scales(picture), begins, strict=True)]
    top, left, height, width = *corner, *pixels.shape[:2]
    goal = picture[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    cut = tuple(slice(max(0, -start), max(0, -start) + n) for start, n in zip(corner, goal.shape, strict=False))
    np.copyto(goal, pixels[cut], where=mask[cut])
