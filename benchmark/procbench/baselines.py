"""Baselines that need no neural network: chance, habits, readers of text, and the oracle."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.procbench import oracle
from benchmark.procbench.audit import LEARNERS, VIEWS, answers, fit, interval
from benchmark.procbench.items import OCTET, Item, of_nat, of_octet
from mmrl.evaluation.statistics import clustered_error
from mmrl.world.splits import Recipe, Sizes, all_nats, all_octets

LEVELS = ("L1", "L2", "L3")
Scores = NDArray[np.float64]  # the probability of the right option, one an item


@dataclass(frozen=True, slots=True)
class Baseline:
    """The shares that a baseline reaches on a level."""

    level: str
    stratum: str
    name: str
    accuracy: float
    low: float  # 95 %, over groups
    high: float
    clustered_error: float
    group_accuracy: float  # all items of a group right
    items: int
    groups: int


def splits(octets: int, taught: int, seed: int) -> dict[str, list[Item]]:
    """Return the octet items of every level and of the training split, as a benchmark of this seed has them."""
    sizes = Sizes(train=taught, **dict.fromkeys(LEVELS, octets))
    drawn = all_octets(Recipe(sizes, seed))
    return {split: [item for octet in several for item in of_octet(octet)] for split, several in drawn.items()}


def natural_splits(items: int, taught: int, seed: int) -> dict[str, list[Item]]:
    """Return the splits of the natural stratum."""
    sizes = Sizes(nat_train=taught, **{f"nat_{level}": items for level in LEVELS})
    return {split: [of_nat(nat) for nat in several] for split, several in all_nats(Recipe(sizes, seed)).items()}


def baselines(items: Mapping[str, Sequence[Item]], seed: int) -> list[Baseline]:
    """Return every baseline on every level; what is learnt is learnt on the training split."""
    levels = [items[level] for level in LEVELS]
    return [
        measured(level, name, asked, one)
        for name, scores in solvers(items["train"], levels, seed)
        for level, asked, one in zip(LEVELS, levels, scores, strict=True)
    ]


def solvers(train: Sequence[Item], levels: Sequence[Sequence[Item]], seed: int) -> Iterator[tuple[str, list[Scores]]]:
    """Name and scores on each level. The oracle's rules are those of octets."""
    yield "uniform chance", [np.full(len(items), 1 / len(items[0].options)) for items in levels]
    habit = majority(train)
    yield "majority letter", [scored(items, [habit] * len(items)) for items in levels]
    yield "longest option", [scored(items, map(longest, items)) for items in levels]
    for view in VIEWS:
        for name in LEARNERS:
            model = fit(train, name, view, seed=seed)
            yield f"{name} on text ({view})", [scored(items, answers(model, items, view)) for items in levels]
    if train[0].stratum == OCTET:
        yield "symbolic oracle", [scored(items, map(oracle.option, items)) for items in levels]


def majority(items: Sequence[Item]) -> int:
    """Return the option that is right most often; the first of several."""
    counts = Counter(item.gold for item in items)
    return min(counts, key=lambda option: (-counts[option], option))


def longest(item: Item) -> int:
    """Return the option with most characters; the first of several."""
    return max(range(len(item.options)), key=lambda option: len(item.options[option]))


def scored(items: Sequence[Item], answered: Iterable[int]) -> Scores:
    """1 for each right answer, 0 for each wrong one."""
    return np.array([answer == item.gold for item, answer in zip(items, answered, strict=True)], dtype=np.float64)


def measured(level: str, name: str, items: Sequence[Item], scores: Scores) -> Baseline:
    """Accuracy with its interval over groups, and how often a whole group is right."""
    groups = [item.group for item in items]
    low, high = interval(scores, groups)
    return Baseline(
        level=level,
        stratum=items[0].stratum,
        name=name,
        accuracy=float(scores.mean()),
        low=low,
        high=high,
        clustered_error=clustered_error(scores, groups),
        group_accuracy=whole_groups(scores, groups),
        items=len(items),
        groups=len(set(groups)),
    )


def whole_groups(scores: Scores, groups: Sequence[str]) -> float:
    """Mean over groups of the probability that all of its items are right."""
    chances: dict[str, float] = {}
    for group, score in zip(groups, scores, strict=True):
        chances[group] = chances.get(group, 1.0) * float(score)
    return sum(chances.values()) / len(chances)


def cells(found: Sequence[Baseline]) -> tuple[list[str], list[list[str]]]:
    """Accuracy in percent and its interval: a line a baseline, a column a level and stratum."""
    table: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for one in found:
        column = one.level if one.stratum == OCTET else f"{one.level} {one.stratum}"
        spread = "" if one.low == one.high else f" [{100 * one.low:.1f}, {100 * one.high:.1f}]"
        table[one.name][column] = f"{100 * one.accuracy:.1f}{spread}"
    columns = list(dict.fromkeys(column for line in table.values() for column in line))
    return ["baseline", *columns], [[name, *(line.get(c, "") for c in columns)] for name, line in table.items()]
