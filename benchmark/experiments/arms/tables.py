"""Runs of several arms and seeds: means and differences whose intervals count seeds, not items.

A folder holds one JSON file a run, which is

    {"arm": str, "seed": int, "steps": int, "base": str, "command": str, "commit": str, "machine": str, "seconds": float,
     "levels": {level: {metric: {"mean": float, "low": float, "high": float, "n": int}}},
     "before": the same, of the model that the run started from}

Training runs of one arm differ by more than the items that they are examined on: the unit here is the run, so that an
interval says what another seed may give (Student's t over seeds), and arms are compared seed by seed.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import BaseModel, FiniteFloat

from benchmark.tables import Cells
from mmrl.evaluation.statistics import half_width, paired

TABLE = "table.json"  # how files end that are written into the folder and are no runs
BEFORE = "before"
Values = Mapping[int, float]  # by seed


class Measured(BaseModel):
    """A metric of one run on one level, with the interval over its items."""

    mean: FiniteFloat
    low: FiniteFloat | None  # None: not known
    high: FiniteFloat | None
    n: int


Levels = Mapping[str, Mapping[str, Measured]]


class Run(BaseModel):
    """One training run, examined before and after."""

    arm: str
    seed: int
    steps: int
    base: str
    command: str
    commit: str
    machine: str
    seconds: float
    levels: Levels
    before: Levels


@dataclass(frozen=True, slots=True)
class Spread:
    """A metric of an arm over seeds. A limit is None where one seed leaves it open."""

    level: str
    metric: str
    arm: str
    mean: float
    low: float | None
    high: float | None
    seeds: dict[int, float]


@dataclass(frozen=True, slots=True)
class Contrast:
    """The difference of two arms, seed by seed."""

    level: str
    metric: str
    arm: str
    other: str
    mean: float
    low: float | None
    high: float | None
    p_signflip: float
    seeds: list[int]  # that both have


def read(folder: Path) -> list[Run]:
    """Return the runs in a folder.

    Raises ValueError for a file that is none, and for two runs of an arm with one seed.
    """
    paths = sorted(path for path in folder.glob("*.json") if not path.name.endswith(TABLE))
    if not paths:
        raise ValueError(f"{folder}: expected JSON files, one a run, found none")
    runs = [parsed(path) for path in paths]
    places: dict[tuple[str, int], Path] = {}
    for run, path in zip(runs, paths, strict=True):
        if (run.arm, run.seed) in places:
            raise ValueError(f"{path}: arm {run.arm}, seed {run.seed} is in {places[run.arm, run.seed].name} already")
        places[run.arm, run.seed] = path
    for arm, several in by_arm(runs).items():
        alike(arm, several)
    return runs


def of_arms(runs: Sequence[Run], arms: Sequence[str] | None) -> list[Run]:
    """Return the runs of these arms; of all without any. Raises ValueError for one that has no run."""
    known = by_arm(runs)
    for arm in arms or ():
        if arm not in known:
            raise ValueError(f"--arms: expected some of {', '.join(known)}; found {arm!r}")
    return [run for run in runs if not arms or run.arm in arms]


def parsed(path: Path) -> Run:
    """Return the run in a file."""
    try:
        return Run.model_validate_json(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: expected a run's summary ({__name__} says which fields): {error}") from error


def alike(arm: str, runs: Sequence[Run]) -> None:
    """Raises ValueError if runs of an arm differ in more than their seeds."""
    for what in ("steps", "base"):
        found = {getattr(run, what) for run in runs}
        if len(found) > 1:
            raise ValueError(f"arm {arm}: expected runs with the same {what}, found {sorted(found)}; name them apart")
    found = {frozenset(pairs(run.levels)) for run in runs}
    if len(found) > 1:
        odd = sorted(frozenset.union(*found) - frozenset.intersection(*found))
        raise ValueError(f"arm {arm}: expected the same levels and metrics in every run, found {odd} only in some")


def by_arm(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs of every arm, both by name and seed."""
    found: defaultdict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.arm, run.seed)):
        found[run.arm].append(run)
    return dict(found)


def pairs(levels: Levels) -> Iterator[tuple[str, str]]:
    """Yield every level with every metric that it has."""
    for level, metrics in levels.items():
        yield from ((level, metric) for metric in metrics)


def spreads(runs: Sequence[Run]) -> list[Spread]:
    """Return every level and metric of the models before training, and of every arm after it."""
    return [
        spread(level, metric, arm, values)
        for level, metric in dict.fromkeys(pair for run in runs for pair in pairs(run.levels))
        for arm, values in columns(runs, level, metric).items()
    ]


def columns(runs: Sequence[Run], level: str, metric: str) -> dict[str, dict[int, float]]:
    """Values by seed: before training, base by base, then arm by arm; columns without this metric are left out."""
    found: dict[str, dict[int, float]] = {}
    bases = list(dict.fromkeys(run.base for run in runs))
    for base in bases:
        name = BEFORE if len(bases) == 1 else f"{BEFORE} ({base})"
        found[name] = before(runs, base, level, metric)
    for arm, several in by_arm(runs).items():
        found[arm] = {
            run.seed: run.levels[level][metric].mean for run in several if metric in run.levels.get(level, {})
        }
    return {name: values for name, values in found.items() if values}


def before(runs: Sequence[Run], base: str, level: str, metric: str) -> dict[int, float]:
    """Return what a base reached, by the seed of the runs that started from it.

    Their mean where several measured it.
    """
    found: defaultdict[int, list[float]] = defaultdict(list)
    for run in runs:
        if run.base == base and metric in run.before.get(level, {}):
            found[run.seed].append(run.before[level][metric].mean)
    return {seed: sum(values) / len(values) for seed, values in sorted(found.items())}


def spread(level: str, metric: str, arm: str, values: Values) -> Spread:
    """Mean over seeds and mean +- t_{n-1} * s / sqrt(n).

    A base measured once and copied into every run has no spread over seeds: its limits are open, not its mean.
    """
    scores = list(values.values())
    mean = math.fsum(scores) / len(scores)
    copied = arm.startswith(BEFORE) and len(set(scores)) == 1
    half = math.inf if copied else half_width(scores, range(len(scores)), 0.95)
    return Spread(level, metric, arm, mean, finite(mean - half), finite(mean + half), dict(values))


def contrasts(runs: Sequence[Run]) -> list[Contrast]:
    """Return every arm against the model that it started from, and every two arms, on every level and metric that both have."""
    found = []
    for level, metric in dict.fromkeys(pair for run in runs for pair in pairs(run.levels)):
        arms = {name: values for name, values in columns(runs, level, metric).items() if not name.startswith(BEFORE)}
        for arm, values in arms.items():
            found += contrast(level, metric, arm, BEFORE, values, own_before(runs, arm, level, metric))
        for arm, other in combinations(arms, 2):
            found += contrast(level, metric, arm, other, arms[arm], arms[other])
    return found


def own_before(runs: Sequence[Run], arm: str, level: str, metric: str) -> dict[int, float]:
    """Return what each run of an arm started from."""
    own = [run for run in runs if run.arm == arm and metric in run.before.get(level, {})]
    return {run.seed: run.before[level][metric].mean for run in own}


def contrast(level: str, metric: str, arm: str, other: str, values: Values, others: Values) -> list[Contrast]:
    """Return the mean difference over the seeds that both have, with its t interval.

    Nothing where they share no seed.
    """
    seeds = sorted(values.keys() & others.keys())
    if not seeds:
        return []
    found = paired([others[seed] for seed in seeds], [values[seed] for seed in seeds], seeds)
    low, high = (finite(found.low), finite(found.high)) if len(seeds) > 1 else (None, None)
    return [Contrast(level, metric, arm, other, found.mean, low, high, found.p_signflip, seeds)]


def finite(value: float) -> float | None:
    """Return the number, or None where JSON has none."""
    return value if math.isfinite(value) else None


def chosen(found: Iterable, metrics: Sequence[str] | None) -> list:
    """Return what belongs to the metrics, in their order; all without any.

    Raises ValueError for one that is not there.
    """
    found = list(found)
    names = list(dict.fromkeys(one.metric for one in found))
    for metric in metrics or ():
        if metric not in names:
            raise ValueError(f"--metrics: expected some of {', '.join(names)}; found {metric!r}")
    return [one for metric in metrics or names for one in found if one.metric == metric]


def as_json(runs: Sequence[Run], means: Sequence[Spread], differences: Sequence[Contrast]) -> dict[str, Any]:
    """Everything that the table says, with the commands and commits of the runs."""
    told = ("arm", "seed", "steps", "base", "command", "commit", "machine", "seconds")
    return {
        "runs": [run.model_dump(include=set(told)) for run in sorted(runs, key=lambda run: (run.arm, run.seed))],
        "means": [asdict(one) for one in means],
        "differences": [asdict(one) for one in differences],
    }


def mean_cells(means: Sequence[Spread]) -> Cells:
    """Level, metric, arm, mean, interval over seeds, seeds."""
    header = ["level", "metric", "arm", "mean", "95 % over seeds", "seeds"]
    lines = [
        [one.level, one.metric, one.arm, number(one.mean), limits(one.low, one.high), str(len(one.seeds))]
        for one in means
    ]
    return header, lines


def arm_cells(means: Sequence[Spread]) -> Cells:
    """Return a line a level and arm, a column a metric: percent with the interval over seeds."""
    metrics = list(dict.fromkeys(one.metric for one in means))
    lines: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for one in means:
        lines[one.level, one.arm][one.metric] = f"{percent(one.mean)} [{percent(one.low)}, {percent(one.high)}]"
    rows = [[level, arm, *(line.get(metric, "") for metric in metrics)] for (level, arm), line in lines.items()]
    return ["level", "arm", *metrics], sorted(rows, key=lambda row: [one.level for one in means].index(row[0]))


def percent(share: float | None) -> str:
    """Return a share in whole percent; "?" for a limit that is not known."""
    return "?" if share is None else f"{100 * share:.0f}"


def difference_cells(differences: Sequence[Contrast]) -> Cells:
    """Level, metric, which arms, difference, interval over seeds, p, seeds."""
    header = ["level", "metric", "difference", "mean", "95 % over seeds", "p", "seeds"]
    lines = [
        [
            one.level,
            one.metric,
            f"{one.arm} - {one.other}",
            number(one.mean, sign=True),
            limits(one.low, one.high, sign=True),
            f"{one.p_signflip:.3f}",
            str(len(one.seeds)),
        ]
        for one in differences
    ]
    return header, lines


def number(value: float | None, sign: bool = False) -> str:
    """Three digits behind the point, as shares are read; "?" for a limit that is not known."""
    return "?" if value is None else f"{value:+.3f}" if sign else f"{value:.3f}"


def limits(low: float | None, high: float | None, sign: bool = False) -> str:
    """Return an interval."""
    return f"{number(low, sign)} to {number(high, sign)}"
