"""Numbers of one step: measured, gathered while it runs, combined over ranks. docs/metrics.md lists them all."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from torch import Tensor

from mmrl.algorithms.base import Algorithm, State
from mmrl.functional import policy_gradient
from mmrl.types import RowSlice, Scored, Tokens


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
        """Add what another one gathered."""
        for mine, its in ((self.sums, other.sums), (self.counts, other.counts), (self.totals, other.totals)):
            for name, value in its.items():
                mine[name] = mine.get(name, 0.0) + value
        for name, value in other.maxima.items():
            self.most(name, value)
        self.bad += other.bad

    def summary(self, ranks: Any) -> dict[str, float]:
        """Everything over all ranks, by name; the meter is empty afterwards. Seconds are those of the slowest rank."""
        everybody, total = ranks.gather(self), Meter()
        for meter in everybody:
            total.absorb(meter)
        out = {name: total.sums[name] / weight for name, weight in total.counts.items() if weight > 0}
        out |= total.totals | total.maxima
        for name in total.totals:
            if name.startswith("seconds/"):
                out[name] = max(meter.totals.get(name, 0.0) for meter in everybody)
        for store in (self.sums, self.counts, self.totals, self.maxima):
            store.clear()
        return dict(sorted(out.items()))


def describe(meter: Meter, scored: Iterable[Scored], algorithm: Algorithm, memory: State | None) -> None:
    """Add numbers about what was collected, by what the algorithm knew before."""
    for s in scored:
        lengths = s.group.completion_mask.sum(dim=1).float()
        meter.add("completion/tokens", lengths.mean().item())
        meter.add("completion/truncated", (~s.group.finished).float().mean().item())
        meter.add("completion/distinct", len(set(s.group.texts)) / len(s.group))
        for name, reward in s.rewards.items():
            meter.add(f"reward/{name}", reward.mean().item())
        if s.rewards:
            meter.add("reward/total", s.total.mean().item())
            meter.add("reward/std", s.total.std().item() if len(s.group) > 1 else 0.0)
        for name, value in algorithm.report(s, memory).items():
            meter.add(name, value)


def observe(meter: Meter, now: Sequence[Tokens], part: Sequence[RowSlice], losses: Sequence[Tensor]) -> None:
    """Add numbers about what the policy says now of the rows of a part."""
    for tokens, rows, loss in zip(now, part, losses, strict=True):
        (scored, _), mask, sampled = rows.learned, rows.group.completion_mask, rows.group.logp_sampled
        meter.total("loss", loss.item())
        meter.total("work/trained_tokens", float(mask.sum()))
        meter.add("policy/entropy", (tokens.entropy.sum() / mask.sum()).item(), int(mask.sum()))
        if sampled is not None:
            meter.most("policy/sampler_gap", ((tokens.logp.detach() - sampled) * mask).abs().max().item())
        read, reference = scored.ref_mask, scored.ref_logprobs
        if read is not None and reference is not None and read.any():
            divergence = policy_gradient.k3(tokens.logp.detach(), reference)[read]
            meter.add("reference/k3", divergence.mean().item(), int(read.sum()))
