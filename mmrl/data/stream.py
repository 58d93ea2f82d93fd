"""The order of training examples: step and rank decide the batch, as a pure function of the seed.

So a resumed run gets the same examples as without the interruption, also on another number of ranks.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Int

from mmrl.data.formats.dataset import Dataset
from mmrl.runtime.files import short_hash
from mmrl.types import Example


class Shuffled:
    """An endless sequence of a dataset's epochs, each epoch in its own order."""

    def __init__(self, dataset: Dataset, seed: int, place: int = 0) -> None:
        self.dataset = dataset
        self._key = (seed, place)  # ``place`` is the index among the datasets of a mixture
        self._order = lru_cache(maxsize=2)(self._permutation)  # a step may touch two epochs

    def at(self, position: int) -> Example:
        """Return the example at a position of the endless sequence."""
        epoch, offset = divmod(position, len(self.dataset))
        return self.dataset.example(int(self._order(epoch)[offset]), epoch)

    def _permutation(self, epoch: int) -> Int[np.ndarray, " n"]:
        generator = np.random.default_rng(np.random.SeedSequence((*self._key, epoch)))
        return generator.permutation(len(self.dataset))


class Mixture:
    """Several datasets in fixed proportions.

    Among each ``sum(weights)`` successive examples, ``weights[i]`` come from dataset i. Each dataset has its own epochs, so a
    small dataset with a large weight has more of them.
    """

    def __init__(self, datasets: Sequence[Dataset], weights: Sequence[float]) -> None:
        if not datasets or len(datasets) != len(weights):
            raise ValueError(f"mixture: expected a weight for each of {len(datasets)} datasets, found {len(weights)}")
        if not all(isinstance(weight, int) and weight > 0 for weight in weights):
            example = "(7 and 3 for 0.7 and 0.3)"
            raise ValueError(f"mixture: expected whole weights above 0 {example}, found {list(weights)}")
        self.datasets = tuple(datasets)
        self.weights = tuple(weights)
        _unique_ids(self.datasets)

    def place(self, position: int, seed: int) -> tuple[int, int]:
        """Return the index of the dataset at a position, and how many examples came from it before."""
        cycle, offset = divmod(position, sum(self.weights))
        turns = np.repeat(np.arange(len(self.weights)), self.weights)
        turns = np.random.default_rng(np.random.SeedSequence((seed, len(self.weights), cycle))).permutation(turns)
        which = int(turns[offset])
        return which, cycle * self.weights[which] + int((turns[:offset] == which).sum())


class Stream:
    """The batches of one rank. ``batch(step)`` is a pure function; ``position``, the next step, is saved and restored."""

    def __init__(self, data: Dataset | Mixture, per_step: int, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        """Create the stream; ``per_step`` counts the examples per step of all ranks together."""
        if per_step < 1 or per_step % world:
            raise ValueError(f"per_step: expected a positive multiple of {world} (the ranks), found {per_step}")
        if not 0 <= rank < world:
            raise ValueError(f"rank: expected 0 to {world - 1}, found {rank}")
        if seed < 0:
            raise ValueError(f"seed: expected 0 or more, found {seed}")
        self._mixture = data if isinstance(data, Mixture) else Mixture([data], [1])
        self._sources = [Shuffled(dataset, seed, place) for place, dataset in enumerate(self._mixture.datasets)]
        self.per_step, self.seed, self.rank, self.world = per_step, seed, rank, world
        self.position = 0

    def batch(self, step: int) -> tuple[Example, ...]:
        """Return this rank's examples of a step. The ranks' batches, joined in order, equal the batch of a single rank."""
        size = self.per_step // self.world
        first = step * self.per_step + self.rank * size
        places = (self._mixture.place(position, self.seed) for position in range(first, first + size))
        return tuple(self._sources[which].at(turn) for which, turn in places)

    def state_dict(self) -> dict[str, Any]:
        """Return the position and the stream's identity; the number of ranks may change between saving and loading."""
        return {"position": self.position, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the position. Raises ValueError if the state belongs to another stream."""
        for name, own in self._identity().items():
            if state[name] != own:
                saved = f"expected {state[name]}, as when the run was saved"
                raise ValueError(f"stream.{name}: {saved}, found {own}; resume with the same data and seed")
        self.position = int(state["position"])

    def _identity(self) -> dict[str, Any]:
        return {
            "per_step": self.per_step,
            "seed": self.seed,
            "weights": list(self._mixture.weights),
            "examples": [short_hash("\0".join(dataset.ids)) for dataset in self._mixture.datasets],
        }


def _unique_ids(datasets: Sequence[Dataset]) -> None:
    seen: dict[str, int] = {}
    for place, dataset in enumerate(datasets):
        for name in dataset.ids:
            if seen.setdefault(name, place) != place:
                where = f"datasets {seen[name]} and {place}"
                raise ValueError(f"mixture: expected ids that differ, found {name!r} in {where}; give one a prefix")
