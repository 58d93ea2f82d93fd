"""summary.json: the summaries of a run's sets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmrl.evaluation.summary import Mean, Summary
from mmrl.evaluation.tables.levels import finite_or_none
from mmrl.runtime.files import write_json


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
    """Return a mean with its interval; a limit that is not known (a single cluster) is null.

    How many records are unscored, and the mean if those were all right, stand there only where there are any.
    """
    unscored = {} if mean.best is None else {"unscored": mean.unscored, "best": mean.best}
    return {"mean": mean.mean, "interval": [finite_or_none(mean.low), finite_or_none(mean.high)]} | unscored
