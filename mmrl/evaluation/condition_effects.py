"""What conditions tell of a model, set by set: how much of its accuracy needs eyes, and how much needs time.

    visual gain     acc(full) - acc(blind)
    temporal gain   acc(full) - max(acc(shuffled), acc(last_frame)), of those two that there are
    tss             of what is right in full, the share whose answer changes when frames are shuffled or reversed
    rr              of what is right in full, the share that stays right under a change that leaves the answer as it is
                    (other frame counts, options moved)
    resampled       of what is right in the first sample of full, the share whose answer changes in the second: what tss
                    would be if order did not matter at all; 0 where decoding is greedy
    circular        the share that is right in full and under every rotation that was asked

tss and rr after INFACT (2603.11481). Intervals are 95 %, by resampling clusters; those of maxima and ratios are taken
anew in each resample, so the choice of the larger and the doubt in the denominator are in them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmrl.evaluation.records import IncompleteError, Item, Record
from mmrl.evaluation.scoring import answers
from mmrl.evaluation.statistics import cluster_sums
from mmrl.types import index_of

RESAMPLES = 10_000
CHUNK = 1000  # resamples at a time, to bound memory
TIMELESS = ("shuffled", "reversed")  # orders in which the truth is not told
SAME_ANSWER = ("frames:", "rotate:")  # conditions that leave the answer as it is

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gain:
    """One derived number with its 95 % interval."""

    name: str
    of: tuple[str, ...]  # the conditions that it is made of
    value: float
    low: float
    high: float
    n: int  # pairs in its denominator


@dataclass(frozen=True, slots=True)
class Look:
    """A set under one condition: its records by (item, sample), and its items."""

    records: Mapping[tuple[str, int], Record]
    items: Mapping[str, Item]

    def right(self, metric: str) -> Values:
        """1 where the answer is right, in the order of the records."""
        return np.array([record.scores.get(metric) or 0.0 for record in self.records.values()])

    def said(self) -> list[str | None]:
        """What was answered, an option by its text, so that moved options can be compared."""
        told = answers(list(self.records.values()))
        return [spoken(answer, self.items[item].choices) for answer, (item, _) in zip(told, self.records, strict=True)]


def spoken(answer: str | None, choices: Sequence[str]) -> str | None:
    """The text of the option that a letter names."""
    if answer is not None and len(answer) == 1 and 0 <= index_of(answer) < len(choices):
        return choices[index_of(answer)]
    return answer


def gains(looks: Mapping[str, Look], metric: str) -> list[Gain]:
    """All that these conditions allow to say. ``looks`` must hold full; all must be of the same pairs."""
    looks = alike(looks)
    full = looks["full"].right(metric)
    clusters = [record.cluster for record in looks["full"].records.values()]
    right = {name: look.right(metric) for name, look in looks.items()}
    changed = {name: differs(looks["full"], look) for name, look in looks.items()}
    found = []

    def add(name: str, of: Sequence[str], columns: Sequence[Values], statistic: Callable[[Values], Values]) -> None:
        denominator = columns[-1].sum() if name in ("tss", "rr") else len(full)
        found.append(Gain(name, tuple(of), *resampled(columns, clusters, statistic), int(denominator)))

    if "blind" in looks:
        add("visual gain", ("full", "blind"), [full, right["blind"], np.ones_like(full)], gap)
    still = [name for name in ("shuffled", "last_frame") if name in looks]
    if still:
        add("temporal gain", ("full", *still), [full, *(right[name] for name in still), np.ones_like(full)], gap)
    if full.any():
        for name in (name for name in TIMELESS if name in looks):
            add("tss", ("full", name), [full * changed[name], full], ratio)
        for name in (name for name in looks if name.startswith(SAME_ANSWER)):
            add("rr", ("full", name), [full * right[name], full], ratio)
    turns = [name for name in looks if name.startswith("rotate:")]
    if turns:
        every = np.minimum.reduce([full, *(right[name] for name in turns)])
        add("circular", ("full", *turns), [every, np.ones_like(full)], ratio)
    return found + again(looks["full"], metric)


def again(full: Look, metric: str) -> list[Gain]:
    """How often a second sample answers otherwise than a right first one; nothing where there is one sample."""
    pairs = [item for item, sample in full.records if sample == 0 and (item, 1) in full.records]
    first, second = ({key: full.records[key] for key in ((item, n) for item in pairs)} for n in (0, 1))
    if not pairs:
        return []
    one, two = Look(first, full.items), Look(second, full.items)
    right, clusters = one.right(metric), [record.cluster for record in first.values()]
    if not right.any():
        return []
    moved = np.array([a != b for a, b in zip(one.said(), two.said(), strict=True)], dtype=np.float64)
    return [Gain("resampled", ("full",), *resampled([right * moved, right], clusters, ratio), int(right.sum()))]


def alike(looks: Mapping[str, Look]) -> dict[str, Look]:
    """The looks with their records in one order. Raises IncompleteError where they are not of the same pairs."""
    if "full" not in looks:
        raise IncompleteError(f"gains: expected the condition 'full' among those compared, found {list(looks)}")
    order = list(looks["full"].records)
    for name, look in looks.items():
        missing = look.records.keys() ^ set(order)
        if missing:
            raise IncompleteError(f"gains: {len(missing)} records are in only one of full and {name}; complete both")
    return {name: Look({key: look.records[key] for key in order}, look.items) for name, look in looks.items()}


def differs(full: Look, other: Look) -> Values:
    """1 where another answer was given."""
    return np.array([a != b for a, b in zip(full.said(), other.said(), strict=True)], dtype=np.float64)


def gap(sums: Values) -> Values:
    """(first - largest of those between) / last."""
    return (sums[..., 0] - sums[..., 1:-1].max(axis=-1)) / sums[..., -1]


def ratio(sums: Values) -> Values:
    """first / last; not a number where the last is 0, as in resamples without a right answer."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[..., 0] / sums[..., -1]


def resampled(
    columns: Sequence[Values], clusters: Sequence[str], statistic: Callable[[Values], Values], seed: int = 0
) -> tuple[float, float, float]:
    """A statistic of sums over all pairs, and its 95 % percentile interval over clusters drawn with replacement."""
    sums = np.stack([cluster_sums(column, clusters)[0] for column in columns], axis=-1)
    count, generator, values = len(sums), np.random.default_rng(seed), []
    for _ in range(RESAMPLES // CHUNK):
        drawn = generator.multinomial(count, np.full(count, 1 / count), size=CHUNK)
        values.append(statistic(drawn @ sums))
    low, high = np.nanquantile(np.concatenate(values), [0.025, 0.975])
    return float(statistic(sums.sum(axis=0))), float(low), float(high)
