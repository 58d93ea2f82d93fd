"""Several models on the same levels: their means, and paired differences between them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mmrl.evaluation.statistics import Difference
from mmrl.evaluation.summary import Mean, Summary, compare
from mmrl.evaluation.tables.contents import ModelComparison
from mmrl.evaluation.tables.levels import ChangeVerdict, verdict


@dataclass(frozen=True, slots=True)
class Gap:
    """A difference between two models, and what it allows to say."""

    source: Difference
    verdict: ChangeVerdict | Literal["differs"]  # differs: the interval excludes 0, but neither more nor less is better


@dataclass(frozen=True, slots=True)
class Line:
    """One metric on one level."""

    level: str
    metric: str
    means: tuple[Mean | None, ...]  # a model each; None where it was not examined
    gaps: tuple[Gap | None, ...]  # a pair each
    n: int
    opens: bool  # the first line of its level


def lines(comparison: ModelComparison) -> Iterator[Line]:
    """Yield the lines of the table: levels and metrics in the order in which they first occur."""
    models = comparison.models
    for level in dict.fromkeys(level for levels in models.values() for level in levels):
        there = {name: levels[level] for name, levels in models.items() if level in levels}
        differences = [level_difference(there, *pair) for pair in comparison.pairs]
        summaries = list(there.values())
        for number, metric in enumerate(summaries[0].metrics):
            yield Line(
                level=level,
                metric=metric,
                means=tuple(there[name].metrics[metric] if name in there else None for name in models),
                gaps=tuple(
                    gap(found[metric], metric in comparison.undirected) if found else None for found in differences
                ),
                n=summaries[0].n,
                opens=number == 0,
            )


def level_difference(there: dict[str, Summary], of: str, minus: str) -> dict[str, Difference]:
    """Return how two models differ on a level, by metric; nothing where one of them was not evaluated."""
    return compare(there[minus], there[of]) if of in there and minus in there else {}


def gap(difference: Difference, undirected: bool) -> Gap:
    """Return a difference with its verdict."""
    found = verdict(difference)
    return Gap(difference, "differs" if undirected and found != "unclear" else found)
