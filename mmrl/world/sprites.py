"""The pictures of the eleven verbs: parts made of a few large shapes, and the ways that they move within a slot.

A sprite is 18 units wide and high, a unit being 1/56 of the picture: at 56 px that is what a small model can see. What has
the event's colour is as large as it can be; around it verbs differ by large shapes of no colour. Every part is visible
in every frame of the slot, so that a single frame tells the whole event.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SPRITE = 18  # units
UNITS = 56  # in a picture's width, and in its height
Ink = tuple[int, int, int]
PAINT: Mapping[str, Ink] = {
    "red": (214, 24, 40),
    "green": (32, 150, 48),
    "blue": (40, 64, 228),
    "yellow": (250, 228, 40),
    "purple": (168, 48, 200),
    "cyan": (56, 206, 220),
    "orange": (250, 138, 20),
    "white": (244, 244, 244),
}
DARK, PALE, BROWN, STEEL, SILVER, BLACK = (
    (24, 24, 24),
    (238, 214, 190),
    (74, 42, 30),
    (150, 152, 160),
    (206, 208, 214),
    (6, 6, 6),
)
THING, CUFF = "thing", "cuff"  # inks that are known only with an event, a cue


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape in a box of units, from the sprite's upper left corner; upwards is negative."""

    kind: str  # rect, disc, wedge (a triangle upon its point), rising and falling (diagonals)
    box: tuple[float, float, float, float]  # x, y, width, height
    ink: Ink | str
    hand: bool = False  # whether its kind is the gripper's


@dataclass(frozen=True, slots=True)
class SpriteStyle:
    """The things that a sprite depends on besides its event."""

    scale: tuple[float, float]  # px in a unit, down and across
    skin: str = "filled"
    gripper: str = "block"
    tint: str | None = None  # the gripper's colour


def _card(y: float, height: float) -> tuple[Shape, ...]:
    """Return a rectangle of the event's colour with a dark edge, over the sprite's whole width."""
    return Shape("rect", (0, y, 18, height), DARK), Shape("rect", (1, y + 1, 16, height - 2), THING)


def _bar(width: float) -> tuple[Shape, ...]:
    """Return a timer over a plate, set to a time."""
    return Shape("rect", (0, 0, 18, 7), DARK), Shape("rect", (1, 1, width, 5), (255, 255, 255))


_WRIST = (  # of the gripper, which every event shows
    Shape("rect", (3, -6, 12, 6), DARK, hand=True),
    Shape("rect", (4, -5, 10, 4), CUFF, hand=True),
)
PARTS: Mapping[str, tuple[Shape, ...]] = {
    "cube": _card(0, 18),
    "prongs": (
        *_WRIST,
        Shape("rect", (-3, -3, 6, 13), PALE, hand=True),
        Shape("rect", (15, -3, 6, 13), PALE, hand=True),
    ),
    "fist": (*_WRIST, Shape("rect", (5, -2, 8, 12), BROWN, hand=True)),
    "wrist": _WRIST,
    "mat": (*_card(0, 18), Shape("disc", (6, 9, 6, 6), PALE)),
    "cup": (*_WRIST, Shape("rect", (3, 2, 12, 3), DARK), Shape("rect", (4, 4, 10, 11), STEEL)),
    "crossing": (
        Shape("rect", (0, 0, 18, 18), SILVER),
        Shape("rising", (0, 0, 18, 18), DARK),
        Shape("falling", (0, 0, 18, 18), DARK),
    ),
    "stand": (Shape("rect", (5, 5, 8, 8), DARK), Shape("rect", (6, 6, 6, 6), STEEL)),
    "pad": (Shape("disc", (0, 0, 18, 18), DARK), Shape("disc", (1, 1, 16, 16), THING)),
    "pin": (*_WRIST, Shape("rect", (7, -1, 4, 8), BLACK), Shape("disc", (5, 5, 8, 8), BLACK)),
    "plate long": (*_card(6, 12), *_bar(16)),
    "plate short": (*_card(6, 12), *_bar(4)),
    "drawer open": (*_card(8, 10), Shape("rect", (0, 0, 18, 9), BLACK), Shape("rect", (7, 11, 4, 3), DARK)),
    "drawer closed": (*_card(0, 18), Shape("rect", (3, 6, 12, 6), DARK), Shape("rect", (4, 7, 10, 4), PALE)),
    "pit": (Shape("rect", (0, 0, 18, 18), BLACK),),
    "key": (
        Shape("disc", (2, 5, 8, 8), SILVER),
        Shape("disc", (4, 7, 4, 4), BLACK),
        Shape("rect", (9, 8, 7, 3), SILVER),
        Shape("rect", (13, 10, 3, 4), SILVER),
    ),
    "stream": (Shape("rect", (5, 4, 8, 11), DARK), *_card(11, 7), Shape("rect", (6, 5, 6, 8), THING)),
    "jug": (*_WRIST, Shape("rect", (0, -1, 18, 7), DARK), Shape("rect", (1, 0, 16, 5), STEEL)),
}

Way = Callable[[float], tuple[float, float]]  # time in [0, 1] to units right and down of the place


def _way(*stops: tuple[float, float, float]) -> Way:
    """Straight from stop to stop; a stop is (time, right, down). At rest before the first and after the last."""
    times, right, down = zip(*stops, strict=True)
    return lambda time: (float(np.interp(time, times, right)), float(np.interp(time, times, down)))


_REST = _way((0, 0, 0))
_SWEEP = _way((0, -3, 0), (1, 3, 0))
_BRING, _TURN_BACK = ((0, 2, -5), (0.6, 0, 2)), (1, 0, -4)
_SINK, _RISE = _way((0, 0, -2), (1, 0, 1)), _way((0, 0, 1), (1, 0, -2))
CAST: Mapping[str, tuple[tuple[str, Way], ...]] = {  # parts from back to front
    "put": (("cube", _way(*_BRING)), ("prongs", _way(*_BRING, _TURN_BACK))),
    "take": (("cube", _way((0.4, 0, 2), (1, -2, -4))), ("fist", _way((0, 0, -3), (0.4, 0, 2), (1, -2, -4)))),
    "hide": (("mat", _REST), ("cup", _way((0, 0, -4), (0.8, 0, 1)))),
    "swap": (
        ("crossing", _REST),
        ("stand", _way((0, -5, -5), (1, 5, 5))),
        ("stand", _way((0, 5, -5), (1, -5, 5))),
        ("wrist", _SWEEP),
    ),
    "visit": (("pad", _REST), ("pin", _way((0, -2, -2), (1, 2, 0)))),
    "dry": (("plate long", _REST), ("wrist", _SWEEP)),
    "dab": (("plate short", _REST), ("wrist", _SWEEP)),
    "open": (("drawer open", _SINK), ("wrist", _SINK)),
    "close": (("drawer closed", _RISE), ("wrist", _RISE)),
    "drop": (("pit", _REST), ("key", _way((0, 0, -4), (1, 0, 3))), ("prongs", _way((0.6, 0, 0), (1, 0, -4)))),
    "pour": (("stream", _REST), ("jug", _way((0, -2, -1), (1, 2, 0)))),
}


@dataclass(frozen=True, slots=True, eq=False)
class Stamp:
    """A part's pixels, and where they lie."""

    pixels: np.ndarray  # uint8 h w c
    mask: np.ndarray  # bool h w 1
    corner: tuple[int, int]  # px down, right of the sprite's upper left corner


@lru_cache(maxsize=1024)
def stamp(part: str, thing: str, look: SpriteStyle) -> Stamp:
    """Return the pixels of a part, of the event's colour where it has one."""
    down, across = look.scale
    low, high = -8, 26  # units around the sprite
    rows = (np.arange(round(low * down), round(high * down))[:, None] + 0.5) / down
    columns = (np.arange(round(low * across), round(high * across))[None] + 0.5) / across
    pixels = np.zeros((rows.size, columns.size, 3), np.uint8)
    mask = np.zeros(pixels.shape[:2], bool)
    for shape in PARTS[part]:
        inside = _inside(_kind(shape, look), shape.box, rows, columns)
        pixels[inside] = _ink(shape.ink, thing, look)
        mask |= inside
        if shape.ink == THING:
            pixels[inside & _worn(look.skin, shape.box, rows, columns)] = DARK
    top, left = mask.any(1).argmax(), mask.any(0).argmax()
    bottom, right = len(mask) - mask.any(1)[::-1].argmax(), mask.shape[1] - mask.any(0)[::-1].argmax()
    cut = (slice(top, bottom), slice(left, right))
    corner = (round(low * down) + int(top), round(low * across) + int(left))
    return Stamp(pixels[cut], mask[cut][..., None], corner)


def _kind(shape: Shape, look: SpriteStyle) -> str:
    return {"block": "rect", "round": "disc", "wedge": "wedge"}[look.gripper] if shape.hand else shape.kind


def _ink(ink: Ink | str, thing: str, look: SpriteStyle) -> Ink:
    if ink == CUFF:
        return STEEL if look.tint is None else PAINT[look.tint]
    return PAINT[thing] if ink == THING else ink


def _inside(kind: str, box: tuple[float, float, float, float], rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Which pixels a shape covers: bool ``h w``; rows ``h 1`` and columns ``1 w`` in units."""
    x, y, width, height = box
    across, down = (columns - x) / width, (rows - y) / height  # in [0, 1) inside the box
    within = (across >= 0) & (across < 1) & (down >= 0) & (down < 1)
    if kind == "disc":
        return (across - 0.5) ** 2 + (down - 0.5) ** 2 < 0.25
    if kind == "wedge":
        return within & (abs(across - 0.5) < 0.55 - 0.4 * down)
    if kind == "rising":
        return within & (abs(across + down - 1) < 0.25)
    if kind == "falling":
        return within & (abs(across - down) < 0.25)
    return within


def _worn(skin: str, box: tuple[float, float, float, float], rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Where a skin leaves out the colour."""
    x, y, width, height = box
    if skin == "outline":
        hollow = (x + 0.3 * width, y + 0.3 * height, 0.4 * width, 0.4 * height)
        return _inside("rect", hollow, rows, columns)
    return ((rows + columns) % 6 < 2) if skin == "hatched" else np.zeros((1, 1), bool)
