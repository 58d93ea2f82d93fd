"""Clips and observations of many octets, through real MP4 files, held in memory as the model's patches come from them."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from mmrl.world.axes import draw_environment
from mmrl.world.codec import read_clip, write_clip
from mmrl.world.dice import Dice
from mmrl.world.octet import LETTERS, Bits, Octet
from mmrl.world.render import SMALL, clip, observation
from mmrl.world.script import BITS, SLOTS, STATIONS, TAIL

BORDERS = (None, *LETTERS)
VIEWS = tuple((lamp, border) for lamp in STATIONS for border in BORDERS)
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # the processor's defaults


@dataclass(frozen=True)
class Shelf:
    """Clips ``[4 n f h w 3]`` and pictures ``[10 n h w 3]`` of n octets, uint8."""

    octets: Sequence[Octet]
    clips: np.ndarray
    pictures: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", {octet.group: i for i, octet in enumerate(self.octets)})

    def pick(self, octet: Octet, bits: Bits, lamp: str, border: str | None) -> tuple[int, int]:
        """Where an item's clip and picture are."""
        place = self.places[octet.group]
        return place * len(BITS) + BITS.index(bits), place * len(VIEWS) + VIEWS.index((lamp, border))


def shelve(octets: Sequence[Octet], seed: int, workers: int, test: Sequence[str] = ()) -> Shelf:
    """Render, encode and decode everything; ``test`` names the axes whose values training never sees."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        made = list(pool.map(partial(one_octet, seed=seed, test=tuple(test)), octets, chunksize=16))
    return Shelf(octets, np.concatenate([c for c, _ in made]), np.concatenate([p for _, p in made]))


def one_octet(octet: Octet, seed: int, test: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The decoded clips ``[4 f h w 3]`` and the pictures ``[10 h w 3]`` of an octet."""
    environment = draw_environment(Dice(seed, "environment", octet.group), test)
    clips, tail = [], TAIL * SMALL.frames_per_slot
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        for bits in BITS:
            frames = clip(octet.script(bits), octet.family, octet.mats, environment, SMALL)
            write_clip(path, frames, SMALL.fps, environment, tail)
            clips.append(read_clip(path))
    views = [observation(lamp, octet.family, octet.mats, environment, SMALL, border) for lamp, border in VIEWS]
    return np.stack(clips), np.stack(views)


def patches(frames: np.ndarray) -> Tensor:
    """What Qwen2-VL's processors make of frames ``[n f h w 3]`` of 56 px: float32 ``[n*p, 1176]``."""
    pixels = torch.from_numpy(frames).float().div_(255)
    pixels = (pixels - torch.tensor(MEAN)) / torch.tensor(STD)
    sizes = {"ft": 2, "ph": 14, "pw": 14, "mh": 2, "mw": 2}
    return rearrange(pixels, "n (t ft) (gh mh ph) (gw mw pw) c -> (n t gh gw mh mw) (c ft ph pw)", **sizes)


assert SMALL.frames == 2 * SLOTS
