"""Scores of questions, and their means with 95 % intervals over octets."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.experiments.arms.tables import finite
from benchmark.experiments.octets.questions import Question
from mmrl.evaluation.statistics import mean_interval


@dataclass(frozen=True, slots=True)
class Scores:
    """One number a question, in its order."""

    values: tuple[float, ...]
    clusters: tuple[tuple[int, str], ...]  # seed and octet: items of one are not independent
    rows: tuple[Mapping[str, Any], ...]  # what an annotation file says of each

    @classmethod
    def of(cls, asked: Sequence[Question], values: Iterable[float], seed: int = 0) -> "Scores":
        """Scores of questions; those of several seeds are told apart by it."""
        examples = [one.example for one in asked]
        clusters = tuple((seed, example.cluster) for example in examples)
        scores = cls(tuple(float(value) for value in values), clusters, tuple(example.fields for example in examples))
        assert len(scores.values) == len(examples)
        return scores

    @property
    def mean(self) -> float:
        """The mean of all values; there is one at least."""
        return sum(self.values) / len(self.values)

    def by(self, name: Callable[[Mapping[str, Any]], str]) -> dict[str, "Scores"]:
        """Parts by what their rows say, in the order in which they first appear."""
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(self.rows):
            places[name(row)].append(place)
        return {key: self.at(some) for key, some in places.items()}

    @property
    def by_seed(self) -> list[float]:
        """Means seed by seed."""
        found: defaultdict[int, list[float]] = defaultdict(list)
        for value, (seed, _) in zip(self.values, self.clusters, strict=True):
            found[seed].append(value)
        return [sum(values) / len(values) for values in found.values()]

    def at(self, places: Sequence[int]) -> "Scores":
        """Some of them."""
        columns = (self.values, self.clusters, self.rows)
        return Scores(*(tuple(column[place] for place in places) for column in columns))

    def __add__(self, other: "Scores") -> "Scores":
        return Scores(self.values + other.values, self.clusters + other.clusters, self.rows + other.rows)


def figure(scores: Scores) -> dict[str, Any]:
    """Return a mean as JSON; a limit is None where one octet leaves it open."""
    low, high = mean_interval(scores.values, scores.clusters)
    return {
        "mean": scores.mean,
        "low": finite(low),
        "high": finite(high),
        "n": len(scores.values),
        "octets": len(set(scores.clusters)),
    }
