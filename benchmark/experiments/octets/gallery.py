"""Octets as arrays of what is seen of them, through real MP4 files, in the environments of training or beyond."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np

from mmrl.world.octet import Octet
from mmrl.world.render import SMALL, observation
from mmrl.world.script import BITS
from mmrl.world.splits import environment_of
from tools.base.clips import VIEWS, Shelf, filmed

TOGETHER = 16  # octets that a process is given at a time; so few are not worth another process


def gallery(octets: Sequence[Octet], seed: int, workers: int, test: Sequence[str] = ()) -> Shelf:
    """Return the shelf of octets; ``test`` names the axes that take a value of the test pool."""
    one = partial(one_octet, seed=seed, test=tuple(test))
    if workers == 1 or len(octets) <= TOGETHER:
        made = [one(octet) for octet in octets]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            made = list(pool.map(one, octets, chunksize=TOGETHER))
    clips, pictures = (np.concatenate(several) for several in zip(*made, strict=True))
    return Shelf(octets=octets, scenes=(), clips=clips, pictures=pictures)


def one_octet(octet: Octet, seed: int, test: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the decoded clips ``[4 f h w 3]`` and the pictures ``[10 h w 3]`` of an octet."""
    environment = environment_of(seed, octet.group, test)
    clips = [filmed(octet.script(bits), octet, environment) for bits in BITS]
    views = [observation(lamp, octet.family, octet.mats, environment, SMALL, border) for lamp, border in VIEWS]
    return np.stack(clips), np.stack(views)
