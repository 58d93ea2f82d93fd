"""Numbers derived from the records of one set, beside the means of its metrics, with 95 % intervals over clusters.

chance-corrected   (accuracy - g) / (1 - g), g the mean of 1 / options: makes different numbers of options comparable
pass@k, pass^k, maj@k   any, all, most of the k samples of a question; guess@k is pass@k of a uniform guesser
both right, answer right only, reasoning right only, wrong alike, wrong apart, nothing concluded
                   shares of all records: the answer against what the reasoning concludes by rules; they sum to 1
ece, perfect ece   calibration of exp(answer_logprob), the probability of the answer's tokens after the reasoning, over the
                   records that have one (their share: confidence known), and that of a perfectly calibrated model
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from mmrl.evaluation.records import Item, Record
from mmrl.evaluation.scoring import answers
from mmrl.evaluation.statistics import (
    calibration_error,
    calibration_interval,
    chance_corrected,
    guess_at_k,
    guess_rate,
    majority_at_k,
    pass_at_k,
    pass_hat_k,
    perfect_error,
)
from mmrl.evaluation.summary import Mean, mean_of

Named = Iterator[tuple[str, Mean]]
AGREEMENTS = (
    "both right", "answer right only", "reasoning right only", "wrong alike", "wrong apart", "nothing concluded",
)  # fmt: skip


def derived(records: Sequence[Record], items: Mapping[str, Item], metric: str) -> dict[str, Mean]:
    """Return all derived numbers of the records, by name; none unless the scores of ``metric``, right or wrong, are 0 and 1."""
    right = [record.scores.get(metric, 0.0) for record in records]
    if not all(score in (0.0, 1.0) for score in right):
        return {}
    of_items = (*corrected(records, items, right), *of_samples(records, items, right))
    return dict([*of_items, *agreements(records, items, right), *calibration(records, right)])


def corrected(records: Sequence[Record], items: Mapping[str, Item], right: Sequence[float]) -> Named:
    """Yield chance-corrected accuracy, if every question has options."""
    options = [len(items[record.item].choices) for record in records]
    if min(options) > 1:
        mean, guess = mean_of(right, clusters_of(records)), guess_rate(options)
        yield "chance-corrected", Mean(*(chance_corrected(value, guess) for value in (mean.mean, mean.low, mean.high)))


def of_samples(records: Sequence[Record], items: Mapping[str, Item], right: Sequence[float]) -> Named:
    """Yield pass@k, pass^k, maj@k and guess@k; nothing if a question has one sample."""
    groups: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        groups.setdefault(record.item, []).append(place)
    k = min(map(len, groups.values()))
    if k < 2:
        return
    clusters = [records[places[0]].cluster for places in groups.values()]
    counts = [(len(places), int(sum(right[place] for place in places))) for places in groups.values()]
    yield f"pass@{k}", mean_of([pass_at_k(n, c, k) for n, c in counts], clusters)
    yield f"pass^{k}", mean_of([pass_hat_k(n, c, k) for n, c in counts], clusters)
    asked, said = [items[item] for item in groups], answers(records)
    if all(len(item.choices) > 1 and item.answer for item in asked):
        votes = [[said[place] for place in places] for places in groups.values()]
        majority = [majority_at_k(some, item.gold, k) for some, item in zip(votes, asked, strict=True)]
        yield f"maj@{k}", mean_of(majority, clusters)
        yield f"guess@{k}", mean_of([guess_at_k(len(item.choices), k) for item in asked], clusters)


def agreements(records: Sequence[Record], items: Mapping[str, Item], right: Sequence[float]) -> Named:
    """Yield the shares of the six kinds of agreement of answer and reasoning, if the records hold the conclusion."""
    if not any("concluded" in record.parse for record in records):
        return
    kinds = [
        agreement(record.parse.get("concluded"), said, items[record.item].gold, score == 1.0)
        for record, said, score in zip(records, answers(records), right, strict=True)
    ]
    for name in AGREEMENTS:
        yield name, mean_of([float(kind == name) for kind in kinds], clusters_of(records))


def agreement(concluded: str | None, said: str | None, gold: str, right: bool) -> str:
    """Return the kind of agreement of a record, one of six."""
    if concluded is None:
        return "nothing concluded"
    if right:
        return "both right" if concluded == gold else "answer right only"
    if concluded == gold:
        return "reasoning right only"
    return "wrong alike" if concluded == said else "wrong apart"


def calibration(records: Sequence[Record], right: Sequence[float]) -> Named:
    """Yield the calibration errors of the answers' probabilities."""
    share = [float(record.answer_logprob is not None) for record in records]
    known = [(record, hit) for record, hit in zip(records, right, strict=True) if record.answer_logprob is not None]
    if not known:
        return
    confidence = [min(1.0, math.exp(record.answer_logprob)) for record, _ in known]
    clusters, hits = [record.cluster for record, _ in known], [hit for _, hit in known]
    yield "confidence known", mean_of(share, clusters_of(records))
    yield "ece", Mean(calibration_error(confidence, hits), *calibration_interval(confidence, hits, clusters))
    mean, most = perfect_error(confidence)
    yield "perfect ece", Mean(mean, 0.0, most)


def clusters_of(records: Sequence[Record]) -> list[str]:
    """Return the cluster of each record."""
    return [record.cluster for record in records]
