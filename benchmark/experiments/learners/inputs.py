"""The parts of clips and pictures that learners are shown: all of it, or less."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mmrl.world.dice import Dice
from mmrl.world.render import SMALL
from mmrl.world.script import SLOTS
from tools.base.clips import Shelf

GREY = 128


@dataclass(frozen=True, slots=True)
class Input:
    """A view of a shelf, and the most that a solver with that much information can reach."""

    see: Callable[[Shelf, int], Shelf]  # of the shelf and a seed
    ordered: int  # ceiling in percent on families whose events mean something else in another order
    unordered: int  # on the others

    @property
    def ceiling(self) -> float:
        """On all families that are trained: half of them are ordered."""
        return (self.ordered + self.unordered) / 2


def grey(pictures: np.ndarray) -> np.ndarray:
    """As many of the same size, all of one grey; takes no memory."""
    return np.broadcast_to(np.uint8(GREY), pictures.shape)


def last_frame(shelf: Shelf, seed: int) -> Shelf:
    """Return the last frame of each clip in the place of all others."""
    return replace(shelf, clips=np.broadcast_to(shelf.clips[:, -1:], shelf.clips.shape))


def shuffled(shelf: Shelf, seed: int) -> Shelf:
    """Return the slots of each clip, a pair of frames each, in an order of its own."""
    orders = [Dice(seed, "slots", index).shuffled(range(SLOTS)) for index in range(len(shelf.clips))]
    slots = shelf.clips.reshape(len(shelf.clips), SLOTS, SMALL.frames_per_slot, *shelf.clips.shape[2:])
    mixed = np.stack([clip[order] for clip, order in zip(slots, orders, strict=True)])
    return replace(shelf, clips=mixed.reshape(shelf.clips.shape))


INPUTS: Mapping[str, Input] = {
    "full": Input(lambda shelf, _: shelf, 100, 100),
    "blind": Input(lambda shelf, _: replace(shelf, clips=grey(shelf.clips), pictures=grey(shelf.pictures)), 25, 25),
    "observation": Input(lambda shelf, _: replace(shelf, clips=grey(shelf.clips)), 50, 50),
    "video": Input(lambda shelf, _: replace(shelf, pictures=grey(shelf.pictures)), 50, 50),
    "last_frame": Input(last_frame, 50, 50),
    "shuffled": Input(shuffled, 50, 100),
}
