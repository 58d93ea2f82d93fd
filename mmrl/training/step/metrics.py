"""Numbers of one step, gathered while it runs and combined over ranks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any


@dataclass
class Meter:
    """Means with weights, sums and maxima by name."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    maxima: dict[str, float] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)  # examples whose loss was not finite

    def add(self, name: str, value: float, weight: float = 1.0) -> None:
        """One more value of a mean."""
        self.sums[name] = self.sums.get(name, 0.0) + value * weight
        self.counts[name] = self.counts.get(name, 0.0) + weight

    def total(self, name: str, value: float) -> None:
        """One more term of a sum."""
        self.totals[name] = self.totals.get(name, 0.0) + value

    def most(self, name: str, value: float) -> None:
        """One more candidate for a maximum."""
        self.maxima[name] = max(self.maxima.get(name, value), value)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times what is done inside, to its end or to its error."""
        start = perf_counter()
        try:
            yield
        finally:
            self.total(f"seconds/{name}", perf_counter() - start)

    def absorb(self, other: "Meter") -> None:
        """What another one gathered, too."""
        for mine, its in ((self.sums, other.sums), (self.counts, other.counts), (self.totals, other.totals)):
            for name, value in its.items():
                mine[name] = mine.get(name, 0.0) + value
        for name, value in other.maxima.items():
            self.most(name, value)
        self.bad += other.bad

    def summary(self, ranks: Any) -> dict[str, float]:
        """Everything over all ranks, by name; the meter is empty afterwards. Seconds are those of the slowest rank."""
        everybody = ranks.gather((self.sums, self.counts, self.totals, self.maxima))
        sums, counts, totals, maxima = ([rank[i] for rank in everybody] for i in range(4))
        weight = {name: sum(c.get(name, 0.0) for c in counts) for name in names(counts)}
        out = {name: sum(s.get(name, 0.0) for s in sums) / w for name, w in weight.items() if w > 0}
        for name in names(totals):
            values = [t.get(name, 0.0) for t in totals]
            out[name] = max(values) if name.startswith("seconds/") else sum(values)
        out |= {name: max(m[name] for m in maxima if name in m) for name in names(maxima)}
        for store in (self.sums, self.counts, self.totals, self.maxima):
            store.clear()
        return dict(sorted(out.items()))


def names(stores: list[dict[str, float]]) -> list[str]:
    """All names, in a fixed order."""
    return sorted(set().union(*stores))
