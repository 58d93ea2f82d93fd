"""The pictures of the eleven verbs: parts made of a few large shapes, and the ways that they move within a slot.

A sprite is 18 units wide and high, a unit being 1/56 of the picture: at 56 px that is what a small model can see. What has
the event's colour is as large as it can be; around it verbs differ by large shapes of no colour. Every part is visible
in every frame of the slot, so that a single frame tells the whole event.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

SPRITE = 18  # units
FIRST, BEYOND = -8, 26  # units; from where to where, down and right, parts may reach
UNITS = 56  # in a picture's width, and in its height
Ink = tuple[int, int, int]
PAINT: Mapping[str, Ink] = {  # colours of what events are done to
    "red": (214, 24, 40),
    "green": (32, 150, 48),
    "blue": (40, 64, 228),
    "yellow": (250, 228, 40),
    "purple": (168, 48, 200),
    "cyan": (56, 206, 220),
    "orange": (250, 138, 20),
    "white": (244, 244, 244),
}
INKS: Mapping[str, Ink] = PAINT | {  # and of all else; "thing" and "cuff" are known only with an event, a cue
    "dark": (24, 24, 24),
    "pale": (238, 214, 190),
    "brown": (74, 42, 30),
    "steel": (150, 152, 160),
    "silver": (206, 208, 214),
    "black": (6, 6, 6),
    "bright": (255, 255, 255),
}
Box = tuple[float, float, float, float]  # x, y, width, height in units, from the sprite's corner; up is negative
Shape = tuple[str, Box, str]  # kind (a branch of ``_inside``, or hand for the gripper's), box, ink
HANDS = {"block": "rect", "round": "disc", "wedge": "wedge"}


def _card(y: float, height: float) -> tuple[Shape, ...]:
    """Return a rectangle of the event's colour with a dark edge, over the sprite's whole width."""
    return ("rect", (0, y, 18, height), "dark"), ("rect", (1, y + 1, 16, height - 2), "thing")


def _bar(width: float) -> tuple[Shape, ...]:
    """Return a timer over a plate, set to a time."""
    return ("rect", (0, 0, 18, 7), "dark"), ("rect", (1, 1, width, 5), "bright")


_WRIST = (  # of the gripper, which every event shows
    ("hand", (3, -6, 12, 6), "dark"),
    ("hand", (4, -5, 10, 4), "cuff"),
)
PARTS: Mapping[str, tuple[Shape, ...]] = {
    "cube": _card(0, 18),
    "prongs": (
        *_WRIST,
        ("hand", (-3, -3, 6, 13), "pale"),
        ("hand", (15, -3, 6, 13), "pale"),
    ),
    "fist": (*_WRIST, ("hand", (5, -2, 8, 12), "brown")),
    "wrist": _WRIST,
    "mat": (*_card(0, 18), ("disc", (6, 9, 6, 6), "pale")),
    "cup": (*_WRIST, ("rect", (3, 2, 12, 3), "dark"), ("rect", (4, 4, 10, 11), "steel")),
    "crossing": (
        ("rect", (0, 0, 18, 18), "silver"),
        ("rising", (0, 0, 18, 18), "dark"),
        ("falling", (0, 0, 18, 18), "dark"),
    ),
    "stand": (("rect", (5, 5, 8, 8), "dark"), ("rect", (6, 6, 6, 6), "steel")),
    "pad": (("disc", (0, 0, 18, 18), "dark"), ("disc", (1, 1, 16, 16), "thing")),
    "pin": (*_WRIST, ("rect", (7, -1, 4, 8), "black"), ("disc", (5, 5, 8, 8), "black")),
    "plate long": (*_card(6, 12), *_bar(16)),
    "plate short": (*_card(6, 12), *_bar(4)),
    "drawer open": (*_card(8, 10), ("rect", (0, 0, 18, 9), "black"), ("rect", (7, 11, 4, 3), "dark")),
    "drawer closed": (*_card(0, 18), ("rect", (3, 6, 12, 6), "dark"), ("rect", (4, 7, 10, 4), "pale")),
    "pit": (("rect", (0, 0, 18, 18), "black"),),
    "key": (
        ("disc", (2, 5, 8, 8), "silver"),
        ("disc", (4, 7, 4, 4), "black"),
        ("rect", (9, 8, 7, 3), "silver"),
        ("rect", (13, 10, 3, 4), "silver"),
    ),
    "stream": (("rect", (5, 4, 8, 11), "dark"), *_card(11, 7), ("rect", (6, 5, 6, 8), "thing")),
    "jug": (*_WRIST, ("rect", (0, -1, 18, 7), "dark"), ("rect", (1, 0, 16, 5), "steel")),
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


# Pixels, uint8 h w c; which are covered, bool h w 1; how many px down and right of the sprite's corner they begin.
Stamp = tuple[np.ndarray, np.ndarray, tuple[int, int]]


@lru_cache(maxsize=1024)
def stamp(part: str, thing: str, scale: tuple[float, float], skin: str, gripper: str, tint: str | None) -> Stamp:
    """Return a part of the event's colour; ``scale`` are px in a unit, down and across, ``tint`` the gripper's colour."""
    rows, columns = ((np.arange(round(FIRST * each), round(BEYOND * each)) + 0.5) / each for each in scale)
    rows, columns = rows[:, None], columns[None]
    pixels = np.zeros((rows.size, columns.size, 3), np.uint8)
    mask = np.zeros(pixels.shape[:2], bool)
    for kind, box, ink in PARTS[part]:
        inside = _inside(HANDS[gripper] if kind == "hand" else kind, box, rows, columns)
        pixels[inside] = INKS[{"thing": thing, "cuff": tint or "steel"}.get(ink, ink)]
        mask |= inside
        if ink == "thing":
            pixels[inside & _worn(skin, box, rows, columns)] = INKS["dark"]
    (top, left), (bottom, right) = np.argwhere(mask).min(0), np.argwhere(mask).max(0) + 1
    begins = (round(FIRST * scale[0]) + int(top), round(FIRST * scale[1]) + int(left))
    return pixels[top:bottom, left:right], mask[top:bottom, left:right, None], begins


def _inside(kind: str, box: Box, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
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


def _worn(skin: str, box: Box, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Where a skin leaves out the colour."""
    x, y, width, height = box
    if skin == "outline":
        hollow = (x + 0.3 * width, y + 0.3 * height, 0.4 * width, 0.4 * height)
        return _inside("rect", hollow, rows, columns)
    return ((rows + columns) % 6 < 2) if skin == "hatched" else np.zeros((1, 1), bool)
