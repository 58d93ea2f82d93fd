"""How a clip looks, apart from what happens in it: ten axes, each with a train pool and a test pool that share no value.

The second level of the benchmark differs from the first in these axes alone, and they can be switched one by one.
"""

import colorsys
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mmrl.world.dice import Dice


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything that a clip looks like. The four videos and two observations of an octet share one.

    All fields are numbers and strings, so that ``Environment(**json.loads(...))`` is the one that was written.
    """

    palette: str = "#455c5c"  # of the table, red green blue
    texture: str = "plain"  # of the table: plain; stripe, noise, checker
    layout: str = "middle"  # where the boxes stand: a key of LAYOUTS
    skin: str = "filled"  # of what has a colour: filled; outline, hatched
    gripper: str = "block"  # shape of the hand: block; round, wedge
    speed: float = 1.0  # of what moves within a slot; slots begin and end when they do
    camera: str = "still"  # still; pan_left, pan_right, zoom_in, zoom_out, jitter
    codec: str = "h264"  # a key of mmrl.world.codec.CODECS: h264; h265, vp9
    resolution: str = "square"  # a key of FORMATS: square; wide, tall, small, large
    movers: int = 0  # grey blobs that move along the edges
    grain: int = 0  # seeds the noise, the jitter and the movers' ways; no axis, the same in both pools


LAYOUTS: Mapping[str, Mapping[str, tuple[int, int]]] = {  # x, y of boxes' upper left corners, in 1/56 of a picture
    "middle": {"left": (5, 46), "right": (33, 46), "top": (19, 22)},
    "near": {"left": (6, 46), "right": (32, 46), "top": (20, 22)},
    "apart": {"left": (4, 46), "right": (34, 46), "top": (18, 22)},
    "stair": {"left": (3, 44), "right": (33, 48), "top": (24, 23)},
    "rising": {"left": (6, 48), "right": (35, 44), "top": (13, 23)},
    "wide": {"left": (2, 47), "right": (36, 47), "top": (15, 24)},
    "tight": {"left": (8, 45), "right": (30, 45), "top": (22, 21)},
}
FORMATS: Mapping[str, tuple[float, float]] = {  # height, width, in sizes of the dial
    "square": (1, 1),
    "wide": (1, 8 / 7),
    "tall": (8 / 7, 1),
    "small": (0.9, 0.9),
    "large": (8 / 7, 8 / 7),
}


def _tones(hues: Collection[float], values: Collection[float], saturation: float) -> tuple[str, ...]:
    """Dull colours, from which every sprite stands out."""
    tones = (colorsys.hsv_to_rgb(hue / 360, saturation, value) for hue in hues for value in values)
    return tuple("#" + "".join(f"{round(255 * channel):02x}" for channel in tone) for tone in tones)


POOLS: Mapping[str, tuple[tuple, tuple]] = {  # of each axis, to train and to test; they share no value
    "palette": (
        _tones(range(0, 360, 45), (0.36, 0.50), 0.25),
        _tones([22.5 + 45 * i for i in range(8)], (0.30, 0.43, 0.58), 0.35),
    ),
    "texture": (("plain",), ("stripe", "noise", "checker")),
    "layout": (("middle", "near", "apart"), ("stair", "rising", "wide", "tight")),
    "skin": (("filled",), ("outline", "hatched")),
    "gripper": (("block",), ("round", "wedge")),
    "speed": ((0.95, 1.0, 1.05), (0.7, 0.8, 1.2, 1.3, 1.4)),
    "camera": (("still",), ("pan_left", "pan_right", "zoom_in", "zoom_out", "jitter")),
    "codec": (("h264",), ("h265", "vp9")),
    "resolution": (("square",), ("wide", "tall", "small", "large")),
    "movers": ((0,), (1, 2, 3)),
}
AXES = tuple(POOLS)
TRAIN, TEST = ({axis: pools[which] for axis, pools in POOLS.items()} for which in (0, 1))


def known(name: str, found: Collection[str], allowed: Collection[str]) -> None:
    """Raise ValueError for what is found though it is not allowed."""
    if unknown := sorted(set(found) - set(allowed)):
        raise ValueError(f"{name}: expected some of {', '.join(allowed)}, found {', '.join(unknown)}")


def draw_environment(dice: Dice, test: Collection[str] = ()) -> Environment:
    """Return a random environment: the axes in ``test`` take a value of the test pool, all others one of the train pool.

    One draw an axis whatever its pool, so that from the same dice two environments differ in the switched axes alone.
    Raises ValueError for an axis that there is not.
    """
    known("axes", test, AXES)
    values = {axis: dice.one(pools[axis in test]) for axis, pools in POOLS.items()}
    return Environment(**values, grain=dice.below(1 << 30))
