"""Everything in a picture that is no event: the table, its boxes, lids and lamps, what passes by, and the camera.

Places are in units of 1/56 of a picture's height and width, whatever its size and shape.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from mmrl.world.axes import LAYOUTS, Environment
from mmrl.world.dice import Dice
from mmrl.world.script import PLACES, STATIONS, Pair
from mmrl.world.sprites import PAINT, SPRITE, UNITS, Ink

PAIRED = ("SHELL", "KEY", "DELIVER")  # families whose stations show their two mats
TRAYS = {"left": (250, 250, 250), "right": (12, 12, 12), "top": (120, 72, 36)}  # small models tell places by looks
DEPTH = {"left": 8, "right": 8, "top": 4}  # of a tray
LID = (190, 170, 120)
LIT, UNLIT, EDGE = (255, 250, 170), (44, 44, 44), (0, 0, 0)
BORDER, GREY = 4, (128, 128, 128)
AMPLITUDE = 12  # grey levels, up or down, of a texture
SWAY = 2.0  # that a camera pans to either side
SHAKE = 1.0  # that it jitters, likewise
ZOOM = 0.06  # by which it magnifies in the end


def empty_table(family: str, mats: Sequence[Pair], environment: Environment, height: int, width: int) -> np.ndarray:
    """Return the table with its open boxes: uint8 ``h w c``."""
    picture = _ground(environment, height, width)
    for place in PLACES:
        fill(picture, *LAYOUTS[environment.layout][place], SPRITE, DEPTH[place], TRAYS[place])
    if family in PAIRED:
        for place, pair in zip(STATIONS, mats, strict=True):
            x, y = LAYOUTS[environment.layout][place]
            for side, colour in enumerate(pair):
                fill(picture, x + 1 + 8.5 * side, y + 3, 7.5, 4, GREY)
                fill(picture, x + 1.5 + 8.5 * side, y + 3.5, 6.5, 3, PAINT[colour])
    return picture


def _ground(environment: Environment, height: int, width: int) -> np.ndarray:
    """Return the table's top: a colour and, unless it is plain, a texture of grey levels added to it."""
    tone = np.array(tuple(bytes.fromhex(environment.palette[1:])), np.int16)
    row, column = np.arange(height)[:, None] * UNITS // height, np.arange(width) * UNITS // width
    if environment.texture == "noise":
        raw = np.random.PCG64(environment.grain).random_raw(UNITS * UNITS)  # its bits, unlike its numbers, never change
        grain = (raw % (2 * AMPLITUDE + 1)).astype(np.int16).reshape(UNITS, UNITS)[row, column] - AMPLITUDE
    elif environment.texture == "stripe":
        grain = np.where((row + column) // 4 % 2, AMPLITUDE, -AMPLITUDE)
    elif environment.texture == "checker":
        grain = np.where((row // 7 + column // 7) % 2, AMPLITUDE, -AMPLITUDE)
    else:
        grain = np.zeros((height, width), np.int16)
    return (tone + grain[..., None]).clip(0, 255).astype(np.uint8)


def move_about(picture: np.ndarray, environment: Environment, time: float) -> None:
    """Grey blobs, to and fro along the edges, at a time in [0, 1] of the clip."""
    for mover in range(environment.movers):
        edge, start, pace, tone = _habits(environment.grain, mover)
        along = abs((start + pace * time) % 2 - 1) * (UNITS - 5)
        x, y = ((along, 0), (along, UNITS - 3), (0, along), (UNITS - 3, along))[edge]
        fill(picture, x, y, *((5, 3) if edge < 2 else (3, 5)), (tone, tone, tone))


@lru_cache(maxsize=256)
def _habits(grain: int, mover: int) -> tuple[int, float, float, int]:
    """Return a mover's edge, where it starts (of 2, once to and fro), how far it goes, and its grey."""
    dice = Dice("mover", grain, mover)
    return dice.below(4), dice.between(0, 2), dice.between(-2, 2), 96 + 16 * dice.below(5)


def close(picture: np.ndarray, environment: Environment, time: float) -> None:
    """All lids come down; at time 1 they are closed."""
    for x, y in LAYOUTS[environment.layout].values():
        fill(picture, x - 2, y - 4 - 6 * (1 - time), SPRITE + 4, 4, LID)


def light(picture: np.ndarray, environment: Environment, lamp: str | None) -> None:
    """The lamps above both stations, one of them lit or none."""
    for place in STATIONS:
        x, y = LAYOUTS[environment.layout][place]
        fill(picture, x + 3, y - 18, 12, 12, EDGE)
        fill(picture, x + 4, y - 17, 10, 10, LIT if place == lamp else UNLIT)


def frame(picture: np.ndarray, paint: Ink) -> None:
    """A border around a picture."""
    down, across = (round(BORDER * scale) for scale in scales(picture))
    picture[:down], picture[-down:], picture[:, :across], picture[:, -across:] = paint, paint, paint, paint


def shot(picture: np.ndarray, environment: Environment, time: float, number: int) -> np.ndarray:
    """Return what the camera sees at a time in [0, 1] of the clip, in frame ``number``; edges are repeated."""
    if environment.camera == "still":
        return picture
    zoom, down, right = _pose(environment, time, number)
    rows, columns = (
        np.floor((np.arange(n) + 0.5 - n / 2) / zoom + n / 2 + shift * n / UNITS).clip(0, n - 1).astype(np.intp)
        for n, shift in zip(picture.shape[:2], (down, right), strict=True)
    )
    return picture.take(rows, axis=0).take(columns, axis=1)


def _pose(environment: Environment, time: float, number: int) -> tuple[float, float, float]:
    """Magnification, and units that the camera has gone down and right."""
    if environment.camera == "jitter":
        dice = Dice("shake", environment.grain, number)
        return 1.0, dice.between(-SHAKE, SHAKE), dice.between(-SHAKE, SHAKE)
    return {
        "pan_left": (1.0, 0.0, SWAY * (1 - 2 * time)),
        "pan_right": (1.0, 0.0, SWAY * (2 * time - 1)),
        "zoom_in": (1 + ZOOM * time, 0.0, 0.0),
        "zoom_out": (1 - ZOOM * time, 0.0, 0.0),
    }[environment.camera]


def fill(picture: np.ndarray, x: float, y: float, width: float, height: float, paint: Ink) -> None:
    """Paints a rectangle, as much of it as lies in the picture."""
    picture[box(picture, x, y, width, height)] = paint


def box(picture: np.ndarray, x: float, y: float, width: float, height: float) -> tuple[slice, slice]:
    """Return the pixels of a rectangle."""
    down, across = scales(picture)
    top, bottom, left, right = (
        max(0, round(edge * scale)) for edge, scale in ((y, down), (y + height, down), (x, across), (x + width, across))
    )
    return slice(top, bottom), slice(left, right)


def scales(picture: np.ndarray) -> tuple[float, float]:
    """Px in a unit, down and across."""
    return picture.shape[0] / UNITS, picture.shape[1] / UNITS
