"""Several models on the same levels: their means, and paired differences between them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmrl.evaluation.statistics import Difference
from mmrl.evaluation.summary import Mean, Summary, compare


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """Several models on the same levels, and the differences between them that are shown."""

    models: Mapping[str, Mapping[str, Summary]]  # by name and level; a model may lack levels
    pairs: Sequence[
        tuple[str, str]
    ]  # names of models, (first, second): the difference first - second; the last pair is drawn, too
    undirected: Collection[str] = ()  # metrics for which neither more nor less is better


@dataclass(frozen=True, slots=True)
class Line:
    """One metric on one level."""

    level: str
    metric: str
    means: tuple[Mean | None, ...]  # one for each model; None if it was not evaluated
    gaps: tuple[Difference | None, ...]  # one for each pair
    undirected: bool  # neither more nor less is better
    n: int
    opens: bool  # the first line of its level


def lines(comparison: ModelComparison) -> Iterator[Line]:
    """Yield the lines of the table: levels and metrics in the order in which they first occur."""
    models = comparison.models
    for level in dict.fromkeys(level for levels in models.values() for level in levels):
        there = {name: levels.get(level) for name, levels in models.items()}
        pairs = [(there[minus], there[of]) for of, minus in comparison.pairs]
        changes = [compare(before, after) if before and after else None for before, after in pairs]
        first = next(summary for summary in there.values() if summary)
        for metric in first.metrics:
            means = tuple(summary and summary.metrics[metric] for summary in there.values())
            gaps = tuple(change and change[metric] for change in changes)
            undirected = metric in comparison.undirected
            yield Line(level, metric, means, gaps, undirected, first.n, opens=metric == next(iter(first.metrics)))
