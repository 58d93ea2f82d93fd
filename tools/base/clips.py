"""Clips and observations of many octets, through real MP4 files, held in memory as the model's patches come from them."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from mmrl.world.axes import Environment, draw_environment
from mmrl.world.codec import read_clip, write_clip
from mmrl.world.dice import Dice
from mmrl.world.octet import LETTERS, Bits, Octet
from mmrl.world.render import SMALL, clip, observation
from mmrl.world.script import BITS, SLOTS, STATIONS, Event

BORDERS = (None, *LETTERS)
VIEWS = tuple((lamp, border) for lamp in STATIONS for border in BORDERS)
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # the processor's defaults


@dataclass(frozen=True)
class Shelf:
    """Clips ``[4 n + m, f h w 3]`` and pictures ``[10 n h w 3]``, uint8, of n octets and m scenes without a task."""

    octets: Sequence[Octet]
    scenes: Sequence[Sequence[Event]]
    clips: np.ndarray
    pictures: np.ndarray

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each octet is."""
        return {octet.group: place for place, octet in enumerate(self.octets)}

    def pick(self, octet: Octet, bits: Bits, lamp: str, border: str | None) -> tuple[int, int]:
        """Where an item's clip and picture are."""
        place = self.places[octet.group]
        return place * len(BITS) + BITS.index(bits), place * len(VIEWS) + VIEWS.index((lamp, border))


def shelve(octets: Sequence[Octet], scenes: Sequence[Sequence[Event]], seed: int, workers: int) -> Shelf:
    """Render, encode and decode everything, in the environments of training."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        made = list(pool.map(partial(one_octet, seed=seed), octets, chunksize=16))
        looks = [(octets[i % len(octets)], script, i) for i, script in enumerate(scenes)]
        more = list(pool.map(partial(one_scene, seed=seed), looks, chunksize=64))
    clips = [each for clips, _ in made for each in clips]
    return Shelf(octets, scenes, np.stack(clips + more), np.concatenate([pictures for _, pictures in made]))


def one_octet(octet: Octet, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the decoded clips ``[f h w 3]`` and the pictures ``[10 h w 3]`` of an octet."""
    environment = draw_environment(Dice(seed, "environment", octet.group))
    clips = [filmed(octet.script(bits), octet, environment) for bits in BITS]
    views = [observation(lamp, octet.family, octet.mats, environment, SMALL, border) for lamp, border in VIEWS]
    return clips, np.stack(views)


def one_scene(scene: tuple[Octet, Sequence[Event], int], seed: int) -> np.ndarray:
    """Return the decoded clip ``[f h w 3]`` of a scene, on the table of some octet."""
    octet, script, number = scene
    return filmed(script, octet, draw_environment(Dice(seed, "scene", number)))


def filmed(script: Sequence[Event], octet: Octet, environment: Environment) -> np.ndarray:
    """Return a script as the frames ``[f h w 3]`` that come back from an MP4 file."""
    frames = clip(script, octet.family, octet.mats, environment, SMALL)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, frames, SMALL.fps, environment, SMALL.tail_start)
        return read_clip(path)


def patches(frames: np.ndarray) -> Tensor:
    """Return what Qwen2-VL's processors make of frames ``[n f h w 3]`` of 56 px: float32 ``[n*p, 1176]``."""
    pixels = torch.from_numpy(frames).float().div_(255)
    pixels = (pixels - torch.tensor(MEAN)) / torch.tensor(STD)
    sizes = {"ft": 2, "ph": 14, "pw": 14, "mh": 2, "mw": 2}
    return rearrange(pixels, "n (t ft) (gh mh ph) (gw mw pw) c -> (n t gh gw mh mw) (c ft ph pw)", **sizes)


assert SMALL.frames == 2 * SLOTS
