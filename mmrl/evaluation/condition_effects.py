"""Numbers derived from a set under several conditions: the parts of a model's accuracy that need the media and their order.

    visual gain     acc(full) - acc(blind)
    temporal gain   acc(full) - max(acc(shuffled), acc(last_frame)), of the two that were run
    tss             share of the answers right in full that change when frames are shuffled or reversed
    rr              share of the answers right in full that stay right under a change that does not change the answer
                    (other frame counts, options moved)
    resampled       share of the answers right in the first sample of full that change in the second: the value of tss
                    if order did not matter at all; 0 if decoding is greedy
    circular        share of the questions that are right in full and under every rotation that was asked

tss and rr after INFACT (2603.11481). Intervals are 95 %, by resampling clusters; maxima and ratios are computed
in each resample, so the intervals include the choice of the larger and the uncertainty of the denominator.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmrl.evaluation.records import IncompleteError, Item, Record
from mmrl.evaluation.scoring import answers
from mmrl.evaluation.statistics import cluster_sums
from mmrl.types import index_of

RESAMPLES = 10_000
CHUNK = 1000  # resamples at a time, to bound memory
ORDER_LOST = ("shuffled", "reversed")  # conditions that change the order of the frames
ORDER_HIDDEN = ("shuffled", "last_frame")  # conditions that temporal gain is measured against
SAME_ANSWER = ("frames:", "rotate:")  # prefixes of conditions that do not change the answer

Values = NDArray[np.float64]  # one a pair of item and sample


@dataclass(frozen=True, slots=True)
class Effect:
    """One derived number with its 95 % interval."""

    name: str
    of: tuple[str, ...]  # the conditions that it is computed from
    value: float
    low: float
    high: float
    n: int  # pairs in its denominator


@dataclass(frozen=True, slots=True)
class ConditionRecords:
    """A set under one condition: its records by (item, sample), and its items."""

    records: Mapping[tuple[str, int], Record]
    items: Mapping[str, Item]

    @property
    def clusters(self) -> list[str]:
        """Return the cluster of each record."""
        return [record.cluster for record in self.records.values()]

    def right(self, metric: str) -> Values:
        """Return 1 for each right answer and 0 for each wrong one, in the order of the records."""
        return np.array([record.scores.get(metric) or 0.0 for record in self.records.values()])

    def answer_texts(self) -> list[str | None]:
        """Return the answers, an option by its text, so that moved options can be compared."""
        said = zip(answers(list(self.records.values())), self.records, strict=True)
        return [option_text(answer, self.items[item].choices) for answer, (item, _) in said]

    def of_pairs(self, pairs: Sequence[tuple[str, int]]) -> "ConditionRecords":
        """Return the records of these pairs, in this order."""
        return ConditionRecords({pair: self.records[pair] for pair in pairs}, self.items)


def option_text(answer: str | None, choices: Sequence[str]) -> str | None:
    """Return the text of the option that a letter names; any other answer unchanged."""
    if answer is not None and len(answer) == 1 and 0 <= index_of(answer) < len(choices):
        return choices[index_of(answer)]
    return answer


def effects(conditions: Mapping[str, ConditionRecords], metric: str) -> list[Effect]:
    """Return all derived numbers of the conditions, ``full`` among them, by name.

    Raises IncompleteError if ``full`` is missing, or if the conditions hold different pairs.
    """
    conditions = in_one_order(conditions)
    right = {name: one.right(metric) for name, one in conditions.items()}
    full = conditions["full"]
    return [
        *gains(right, full.clusters),
        *stability(conditions, right),
        *circular(right, full.clusters),
        *resampled(full, metric),
    ]


def gains(right: Mapping[str, Values], clusters: Sequence[str]) -> Iterator[Effect]:
    """Yield visual and temporal gain, if the conditions that they need were run."""
    full = right["full"]
    for name, hidden in (("visual gain", ("blind",)), ("temporal gain", ORDER_HIDDEN)):
        there = [condition for condition in hidden if condition in right]
        if there:
            yield effect(name, there, clusters, full, np.ones_like(full), [right[condition] for condition in there])


def stability(conditions: Mapping[str, ConditionRecords], right: Mapping[str, Values]) -> Iterator[Effect]:
    """Yield tss and rr of every condition that they are defined for; nothing if no answer in full is right."""
    full, known = conditions["full"], right["full"]
    if not known.any():
        return
    for name in (name for name in ORDER_LOST if name in conditions):
        yield effect("tss", [name], full.clusters, known * changed(full, conditions[name]), known)
    for name in (name for name in conditions if name.startswith(SAME_ANSWER)):
        yield effect("rr", [name], full.clusters, known * right[name], known)


def circular(right: Mapping[str, Values], clusters: Sequence[str]) -> Iterator[Effect]:
    """Yield circular accuracy, if options were rotated."""
    rotated = [name for name in right if name.startswith("rotate:")]
    if rotated:
        always = np.minimum.reduce([right["full"], *(right[name] for name in rotated)])
        yield effect("circular", rotated, clusters, always, np.ones_like(always))


def resampled(full: ConditionRecords, metric: str) -> Iterator[Effect]:
    """Yield how often a second sample differs from a right first one; nothing if there is one sample."""
    items = [item for item, sample in full.records if sample == 0 and (item, 1) in full.records]
    first, second = (full.of_pairs([(item, sample) for item in items]) for sample in (0, 1))
    known = first.right(metric)
    if known.any():
        yield effect("resampled", [], first.clusters, known * changed(first, second), known)


def changed(one: ConditionRecords, other: ConditionRecords) -> Values:
    """Return 1 for each answer that differs between the two conditions, else 0."""
    pairs = zip(one.answer_texts(), other.answer_texts(), strict=True)
    return np.array([float(before != after) for before, after in pairs])


def effect(
    name: str,
    others: Sequence[str],
    clusters: Sequence[str],
    numerator: Values,
    denominator: Values,
    minus: Sequence[Values] = (),
) -> Effect:
    """Return (sum of the numerator - largest sum of those in minus) / sum of the denominator, from ``full`` and other conditions.

    Its interval holds the middle 95 % of the quotients of clusters that are drawn with replacement.
    """
    sums = np.stack([cluster_sums(column, clusters)[0] for column in (numerator, *minus, denominator)], axis=-1)
    generator, even = np.random.default_rng(0), np.full(len(sums), 1 / len(sums))
    drawn = (generator.multinomial(len(sums), even, size=CHUNK) for _ in range(RESAMPLES // CHUNK))
    low, high = np.nanquantile(np.concatenate([quotient(times @ sums) for times in drawn]), [0.025, 0.975])
    value = float(quotient(sums.sum(axis=0)))
    return Effect(name, ("full", *others), value, float(low), float(high), int(denominator.sum()))


def quotient(sums: Values) -> Values:
    """Return (first - largest of those between) / last along the last axis; NaN where the last is 0 in a resample."""
    largest = sums[..., 1:-1].max(axis=-1) if sums.shape[-1] > 2 else 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        return (sums[..., 0] - largest) / sums[..., -1]


def in_one_order(conditions: Mapping[str, ConditionRecords]) -> dict[str, ConditionRecords]:
    """Return the conditions with their records in one order. Raises IncompleteError as `effects` does."""
    if "full" not in conditions:
        raise IncompleteError(
            f"condition effects: expected the condition 'full' among those compared, found {list(conditions)}"
        )
    order = list(conditions["full"].records)
    for name, measured in conditions.items():
        missing = measured.records.keys() ^ set(order)
        if missing:
            raise IncompleteError(
                f"condition effects: {len(missing)} records are in only one of full and {name}; complete both"
            )
    return {name: measured.of_pairs(order) for name, measured in conditions.items()}
