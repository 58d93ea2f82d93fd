"""Means with intervals, and paired differences.

No record leaves the denominator. A failed generation counts as 0. A record without a verdict is unscored: it counts as 0 in
the mean, and the interval covers every score that it may have, from 0 to 1.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mmrl.evaluation.records import FAILED, IncompleteError, Record
from mmrl.evaluation.statistics import Comparison, Difference, bounded_difference, bounded_mean, mean_interval, paired
from mmrl.evaluation.statistics import compare as everything

Scores = Sequence[float | None]  # one a record; None if there is no verdict
Columns = dict[str, list[float | None]]  # scores by metric


@dataclass(frozen=True, slots=True)
class Mean:
    """A metric over all records, and its 95 % interval over clusters."""

    mean: float
    low: float
    high: float
    unscored: int = 0  # records without a verdict; 0 in the mean
    best: float | None = None  # the mean if all of those were 1; None if there are none


@dataclass(frozen=True, slots=True)
class Summary:
    """The counts and means of an evaluated set, with its records."""

    name: str
    expected: int  # items there must be
    scored: int  # items there are
    samples: int  # records an item
    n: int  # records, the denominator of every mean
    clusters: int
    statuses: Mapping[str, int]
    metrics: Mapping[str, Mean]
    records: tuple[Record, ...] = field(repr=False)


Measured = Summary | Sequence[Record]


def summarise(name: str, records: Sequence[Record], expected: int, samples: int = 1) -> Summary:
    """Return means over all records with intervals over clusters. Raises IncompleteError if a record is missing.

    A record without scores (its media could not be read) counts as 0 in every metric.
    """
    items = {record.item for record in records}
    if len(items) < expected or len(by_pair(records)) != len(items) * samples:
        wanted, found = f"{expected} items with {samples} samples each", f"{len(records)} records of {len(items)} items"
        raise IncompleteError(f"evaluation {name!r}: expected {wanted}, found {found}; run it again to resume")
    clusters = [record.cluster for record in records]
    metrics = {metric: mean_of(scores, clusters) for metric, scores in columns(name, records).items()}
    return Summary(
        name=name,
        expected=expected,
        scored=len(items),
        samples=samples,
        n=len(records),
        clusters=len(set(clusters)),
        statuses=dict(sorted(Counter(record.status for record in records).items())),
        metrics=metrics,
        records=tuple(records),
    )


def mean_of(scores: Scores, clusters: Sequence[str]) -> Mean:
    """Return the worst-case mean, with an interval that covers the worst case and the best."""
    known = [score for score in scores if score is not None]
    if len(known) == len(scores):
        return Mean(sum(known) / len(known), *mean_interval(known, clusters))
    bounds = bounded_mean(scores, clusters)
    return Mean(bounds.least, bounds.low, bounds.high, bounds.unscored, bounds.most)


def compare(before: Measured, after: Measured) -> dict[str, Difference]:
    """Return the change of each metric, paired by (item, sample), with intervals over clusters. Both must hold the same pairs."""
    earlier, later, clusters = side_by_side(before, after)
    return {metric: bounded_change(earlier[metric], later[metric], clusters) for metric in earlier}


def compare_fully(before: Measured, after: Measured) -> dict[str, Comparison]:
    """Return the change of each metric with discordant counts, McNemar and the smallest effect that could have been seen."""
    earlier, later, clusters = side_by_side(before, after)
    changes = {}
    for metric in earlier:
        change = everything(counted(earlier[metric]), counted(later[metric]), clusters)
        changes[metric] = replace(change, difference=bounded_change(earlier[metric], later[metric], clusters))
    return changes


def side_by_side(before: Measured, after: Measured) -> tuple[Columns, Columns, list[str]]:
    """Return the scores of both by metric, in one order, and the clusters.

    Raises IncompleteError if their pairs differ, ValueError if their metrics differ.
    """
    first, second = by_pair(before), by_pair(after)
    missing = first.keys() ^ second.keys()
    if missing:
        item, sample = min(missing)
        where = f"such as item {item!r} sample {sample}"
        raise IncompleteError(f"compare: {len(missing)} records are in one of the two only, {where}; complete both")
    earlier = columns("before", list(first.values()))
    later = columns("after", [second[pair] for pair in first])
    if earlier.keys() != later.keys():
        raise ValueError(f"compare: metrics differ: {sorted(earlier)} before, {sorted(later)} after; score both alike")
    return earlier, later, [record.cluster for record in first.values()]


def bounded_change(before: Scores, after: Scores, clusters: Sequence[str]) -> Difference:
    """Return the paired difference; unscored records count as 0, and the interval covers all scores that they may have."""
    change = paired(counted(before), counted(after), clusters)
    if None not in before and None not in after:
        return change
    bounds = bounded_difference(before, after, clusters)
    return replace(change, low=bounds.low, high=bounds.high)


def counted(scores: Scores) -> list[float]:
    """Return the scores, with 0 for records without a verdict."""
    return [0.0 if score is None else score for score in scores]


def columns(name: str, records: Sequence[Record]) -> Columns:
    """Return scores by metric, one a record; 0 for a failed generation, None without a verdict."""
    metrics = list(dict.fromkeys(metric for record in records for metric in record.scores))
    if not metrics:
        error = next((record.error for record in records if record.error), "no record has scores")
        raise IncompleteError(f"evaluation {name!r}: none of {len(records)} records could be graded; {error}")
    for each in records:
        absent = [metric for metric in metrics if metric not in each.scores]
        if absent and each.status not in FAILED:
            raise IncompleteError(f"evaluation {name!r}: item {each.item!r} lacks {absent}; score all records alike")
    return {metric: [record.scores.get(metric, 0.0) for record in records] for metric in metrics}


def by_pair(measured: Measured) -> dict[tuple[str, int], Record]:
    """Return records by (item, sample). Raises ValueError if one occurs twice."""
    records = measured.records if isinstance(measured, Summary) else measured
    pairs = {(record.item, record.sample): record for record in records}
    if len(pairs) < len(records):
        raise ValueError(f"{len(records)} records hold {len(pairs)} different (item, sample); each must occur once")
    return pairs
