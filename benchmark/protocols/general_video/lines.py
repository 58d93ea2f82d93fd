"""The lines of a benchmark's table: the published average, all items, and every group, each with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.protocols.general_video.protocol import Protocol
from mmrl.evaluation import Item, Record
from mmrl.evaluation.statistics import mean_interval

ALL = "all items"
PUBLISHED = "mean over {}s, as published"


@dataclass(frozen=True, slots=True)
class Line:
    """One line."""

    division: str  # "" for what is over all items
    group: str
    items: int
    means: Mapping[str, tuple[float, float, float]]  # by metric: mean, low, high


def lines(protocol: Protocol, items: Mapping[str, Item], records: Sequence[Record]) -> list[Line]:
    """Return all lines. Records without scores, as of media that could not be read, count as 0."""
    made = []
    first = next(iter(protocol.divisions))
    for name, division in protocol.divisions.items():
        found = {item.id: division(item) for item in items.values()}
        known = (*(protocol.weights or ()), *protocol.order) if name == first else ()
        order = list(dict.fromkeys([*known, *sorted(found.values())]))
        if name == first and protocol.weights is not None:
            groups = [found[record.item] for record in records]
            made.append(over_groups(protocol, records, groups, first))
        if name == first:
            made.append(line("", ALL, records, protocol))
        parts = {group: [record for record in records if found[record.item] == group] for group in order}
        made += [line(name, group, some, protocol) for group, some in parts.items() if some]
    return made


def line(division: str, group: str, records: Sequence[Record], protocol: Protocol) -> Line:
    """Return the plain means of some records."""
    clusters = [record.cluster for record in records]
    means = {}
    for metric in protocol.columns:
        scores = scores_of(records, metric)
        means[metric] = (float(np.mean(scores)), *mean_interval(scores, clusters))
    return Line(division, group, len({record.item for record in records}), means)


def over_groups(protocol: Protocol, records: Sequence[Record], groups: Sequence[str], division: str) -> Line:
    """Return the weighted mean over the groups that there are."""
    clusters = [record.cluster for record in records]
    means = {
        metric: stratified(scores_of(records, metric), groups, protocol.weights, clusters)
        for metric in protocol.columns
    }
    return Line("", PUBLISHED.format(division), len({record.item for record in records}), means)


def stratified(
    scores: Sequence[float], groups: Sequence[str], weights: Mapping[str, float], clusters: Sequence[str]
) -> tuple[float, float, float]:
    """Return sum_g w_g mean_g over the groups that occur (weights made to sum to 1), and its interval over clusters.

    The estimate is the plain mean of n w_g / n_g (s_i - mean_g) + estimate, whose clustered error is the estimate's own:
    its variance is sum_c (sum_{i in c} w_g / n_g (s_i - mean_g))^2, with the usual factor for few clusters.
    """
    values, labels = np.asarray(scores, dtype=np.float64), np.asarray(groups)
    present = list(dict.fromkeys(groups))
    total = sum(weights[group] for group in present)
    share, mean = np.empty_like(values), np.empty_like(values)
    for group in present:
        inside = labels == group
        share[inside], mean[inside] = weights[group] / total / inside.sum(), values[inside].mean()
    estimate = float((share * values).sum())
    low, high = mean_interval(len(values) * share * (values - mean) + estimate, clusters)
    return estimate, max(0.0, low), min(1.0, high)


def scores_of(records: Sequence[Record], metric: str) -> list[float]:
    """Return the scores; 0 where nothing was seen or the grader gave no verdict."""
    return [record.scores.get(metric) or 0.0 for record in records]
