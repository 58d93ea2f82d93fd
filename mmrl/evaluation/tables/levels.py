"""Levels and metrics, as text and as JSON: means, and differences with a verdict."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmrl.evaluation.statistics import Difference
from mmrl.evaluation.summary import Mean, Summary
from mmrl.runtime.files import write_json

ChangeVerdict = Literal["better", "worse", "unclear", "differs"]  # differs: neither more nor less is better
Levels = Mapping[str, Mapping[str, Difference]]  # level, metric; fractions


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    level: str
    metric: str
    source: Difference
    opens: bool  # the first line of its level


def rows(levels: Levels) -> Iterator[Row]:
    """Yield the lines of the table, in the given order."""
    for level, metrics in levels.items():
        for number, (metric, difference) in enumerate(metrics.items()):
            yield Row(level, metric, difference, opens=number == 0)


def verdict(difference: Difference, undirected: bool = False) -> ChangeVerdict:
    """Return better, worse or differs if the interval excludes 0, else unclear."""
    if not (difference.low > 0 or difference.high < 0):
        return "unclear"
    if undirected:
        return "differs"
    return "better" if difference.low > 0 else "worse"


def levels_as_json(levels: Levels) -> dict[str, dict[str, dict[str, Any]]]:
    """Return fractions by level and metric, for summary.json. An unknown limit (a single cluster) is null."""
    return {
        level: {
            metric: {
                "before": difference.before,
                "after": difference.after,
                "difference": difference.mean,
                "interval": [finite_or_none(difference.low), finite_or_none(difference.high)],
                "n": difference.n,
            }
            for metric, difference in metrics.items()
        }
        for level, metrics in levels.items()
    }


def write_summary(path: Path, levels: Mapping[str, Summary], facts: Mapping[str, Any]) -> None:
    """Write the summaries by set as JSON, beside some facts about the run."""
    content = dict(facts) | {"levels": {name: summary_as_json(summary) for name, summary in levels.items()}}
    write_json(path, content)


def summary_as_json(summary: Summary) -> dict[str, Any]:
    """Return the counts and means of a set."""
    counts = {name: getattr(summary, name) for name in ("expected", "scored", "samples", "n", "clusters")}
    metrics = {metric: mean_as_json(mean) for metric, mean in summary.metrics.items()}
    return counts | {"statuses": dict(summary.statuses), "metrics": metrics}


def mean_as_json(mean: Mean) -> dict[str, Any]:
    """Return a mean with its interval; an unknown limit (a single cluster) is null.

    ``unscored`` counts records without a verdict; ``best`` is the mean if those were all right. Both are there only if needed.
    """
    unscored = {} if mean.best is None else {"unscored": mean.unscored, "best": mean.best}
    return {"mean": mean.mean, "interval": [finite_or_none(mean.low), finite_or_none(mean.high)]} | unscored


def percent(fraction: float) -> str:
    """Return 0.4213 as 42.1 %."""
    return f"{100 * fraction:.1f}\u202f%"


def percents(low: float, high: float) -> str:
    """Return an interval of fractions."""
    return f"{percent(low)} to {percent(high)}"


def points(fraction: float) -> str:
    """Return a difference in points of a percent, with its sign."""
    if not math.isfinite(fraction):
        return "?"
    rounded = round(100 * fraction, 1) + 0.0  # no minus on a zero
    return f"{rounded:+.1f}".replace("-", "\u2212") if rounded else "0.0"


def limits(difference: Difference) -> str:
    """Return the interval of a difference in points."""
    return f"{points(difference.low)} to {points(difference.high)}"


def p_value(p: float | None) -> str:
    """Return a p-value; nothing if there is none."""
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def finite_or_none(value: float) -> float | None:
    """Return the number; None if it is not finite, which JSON cannot hold."""
    return value if math.isfinite(value) else None
