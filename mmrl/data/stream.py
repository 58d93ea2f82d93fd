"""Which examples are learnt from at which step on which rank: a pure function of the seed and the step.

So a run that resumes sees what it would have seen, on as many ranks as it then has.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from mmrl.data.formats.dataset import Dataset
from mmrl.runtime.files import short_hash
from mmrl.types import Example


class Shuffled:
    """A dataset read over and over, each epoch in an order of its own, the epochs joined without a gap."""

    def __init__(self, dataset: Dataset, seed: int, place: int = 0) -> None:
        self.dataset = dataset
        self._key = (seed, place)  # the place among the datasets of a mixture
        self._orders: dict[int, Int[np.ndarray, " n"]] = {}

    def at(self, position: int) -> Example:
        """The example at a position of the endless sequence."""
        epoch, offset = divmod(position, len(self.dataset))
        return self.dataset.example(int(self._order(epoch)[offset]), epoch)

    def _order(self, epoch: int) -> Int[np.ndarray, " n"]:
        if epoch not in self._orders:
            # a step may touch two epochs; older ones are not needed
            self._orders = {known: order for known, order in self._orders.items() if known == epoch - 1}
            generator = np.random.default_rng(np.random.SeedSequence((*self._key, epoch)))
            self._orders[epoch] = generator.permutation(len(self.dataset))
        return self._orders[epoch]


class Mixture:
    """Several datasets in fixed proportions.

    Of each ``sum(weights)`` examples in a row, ``weights[i]`` come from dataset i. Each dataset has epochs of its own,
    so a small one with a large weight is read more often.
    """

    def __init__(self, datasets: Sequence[Dataset], weights: Sequence[float]) -> None:
        if not datasets or len(datasets) != len(weights):
            raise ValueError(f"mixture: expected a weight for each of {len(datasets)} datasets, found {len(weights)}")
        if not all(isinstance(weight, int) and weight > 0 for weight in weights):
            raise ValueError(
                f"mixture: expected whole weights above 0 (7 and 3 for 0.7 and 0.3), found {list(weights)}"
            )
        self.datasets = tuple(datasets)
        self.weights = tuple(weights)
        _unique_ids(self.datasets)

    def place(self, position: int, seed: int) -> tuple[int, int]:
        """Whose turn it is at a position, and how many turns of it came before."""
        cycle, offset = divmod(position, sum(self.weights))
        turns = np.repeat(np.arange(len(self.weights)), self.weights)
        turns = np.random.default_rng(np.random.SeedSequence((seed, len(self.weights), cycle))).permutation(turns)
        which = int(turns[offset])
        return which, cycle * self.weights[which] + int((turns[:offset] == which).sum())

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)


class Stream:
    """The batches of one rank.

    ``batch(step)`` is a pure function; iterating remembers the step, which can be saved and restored.

    Ends after ``steps`` steps, or when each example was seen ``epochs`` times (the last step is filled up from the
    next epoch), or never.
    """

    def __init__(
        self,
        data: Dataset | Mixture,
        per_step: int,  # examples a step, over all ranks
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        epochs: float | None = None,
        steps: int | None = None,
    ) -> None:
        if per_step < 1 or per_step % world:
            raise ValueError(f"per_step: expected a positive multiple of {world} (the ranks), found {per_step}")
        if not 0 <= rank < world:
            raise ValueError(f"rank: expected 0 to {world - 1}, found {rank}")
        if seed < 0:
            raise ValueError(f"seed: expected 0 or more, found {seed}")
        self._mixture = data if isinstance(data, Mixture) else Mixture([data], [1])
        self._sources = [Shuffled(dataset, seed, place) for place, dataset in enumerate(self._mixture.datasets)]
        self.per_step, self.seed, self.rank, self.world = per_step, seed, rank, world
        self.steps = _steps(self._mixture, per_step, epochs, steps)
        self.position = 0  # the next step

    def batch(self, step: int) -> tuple[Example, ...]:
        """What this rank learns from at a step. The ranks' batches, joined in order, are the batch of a single rank."""
        share = self.per_step // self.world
        first = step * self.per_step + self.rank * share
        return tuple(self._at(position) for position in range(first, first + share))

    def peek(self, steps: int = 1) -> tuple[Example, ...]:
        """What this rank needs in its next steps, for decoding ahead."""
        last = self.position + steps if self.steps is None else min(self.position + steps, self.steps)
        return tuple(example for step in range(self.position, last) for example in self.batch(step))

    def __iter__(self) -> Iterator[tuple[Example, ...]]:
        return self

    def __next__(self) -> tuple[Example, ...]:
        if self.steps is not None and self.position >= self.steps:
            raise StopIteration
        batch = self.batch(self.position)
        self.position += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, and of what; the number of ranks may change."""
        return {"position": self.position, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there. Raises ValueError if the stream is another one."""
        for name, mine in self._identity().items():
            if state[name] != mine:
                saved = f"expected {state[name]}, as when the run was saved"
                raise ValueError(f"stream.{name}: {saved}, found {mine}; resume with the same data and seed")
        self.position = int(state["position"])

    def _at(self, position: int) -> Example:
        which, turn = self._mixture.place(position, self.seed)
        return self._sources[which].at(turn)

    def _identity(self) -> dict[str, Any]:
        return {
            "per_step": self.per_step,
            "seed": self.seed,
            "weights": list(self._mixture.weights),
            "examples": [_digest(dataset) for dataset in self._mixture.datasets],
        }


def _steps(mixture: Mixture, per_step: int, epochs: float | None, steps: int | None) -> int | None:
    if epochs is None:
        return steps
    if steps is not None:
        raise ValueError("stream: expected epochs or steps, found both; state one")
    if len(mixture.datasets) > 1:
        raise ValueError("epochs: expected one dataset, found several, which end at different times; state steps")
    return math.ceil(epochs * len(mixture) / per_step)


def _unique_ids(datasets: Sequence[Dataset]) -> None:
    seen: dict[str, int] = {}
    for place, dataset in enumerate(datasets):
        for name in dataset.ids:
            if seen.setdefault(name, place) != place:
                where = f"datasets {seen[name]} and {place}"
                raise ValueError(f"mixture: expected ids that differ, found {name!r} in {where}; give one a prefix")


def _digest(dataset: Dataset) -> str:
    return short_hash("\0".join(dataset.ids))
