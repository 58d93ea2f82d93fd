"""The metrics of one step, gathered while it runs and combined over ranks. docs/metrics.md lists them all."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from mmrl.algorithms.base import Algorithm, State
from mmrl.functional import policy_gradient
from mmrl.functional.shapes import check_mask
from mmrl.types import Group, RowSlice, Scored, Tokens, TokenWeights


@dataclass
class Meter:
    """Weighted means, sums, extremes and spreads by name."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    maxima: dict[str, float] = field(default_factory=dict)
    minima: dict[str, float] = field(default_factory=dict)
    spreads: dict[str, list[float]] = field(default_factory=dict)  # count, sum and sum of squares, for mean and std
    bad: list[str] = field(default_factory=list)  # examples whose loss was not finite

    def add(self, name: str, value: float, weight: float = 1.0) -> None:
        """Add a value to a weighted mean."""
        self.sums[name] = self.sums.get(name, 0.0) + value * weight
        self.counts[name] = self.counts.get(name, 0.0) + weight

    def total(self, name: str, value: float) -> None:
        """Add a term to a sum."""
        self.totals[name] = self.totals.get(name, 0.0) + value

    def most(self, name: str, value: float) -> None:
        """Add a candidate for a maximum."""
        self.maxima[name] = max(self.maxima.get(name, value), value)

    def least(self, name: str, value: float) -> None:
        """Add a candidate for a minimum."""
        self.minima[name] = min(self.minima.get(name, value), value)

    def spread(self, name: str, values: Tensor) -> None:
        """Add values whose mean, standard deviation, minimum and maximum are reported."""
        new = (float(len(values)), float(values.sum()), float(values.square().sum()))
        self.spreads[name] = [a + b for a, b in zip(self.spreads.get(name, (0.0, 0.0, 0.0)), new, strict=True)]
        self.least(f"{name}/min", values.min().item())
        self.most(f"{name}/max", values.max().item())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the seconds of the block, which may end with an error."""
        start = perf_counter()
        try:
            yield
        finally:
            self.total(f"timing_s/{name}", perf_counter() - start)

    def absorb(self, other: "Meter") -> None:
        """Add the numbers of another meter."""
        for own, theirs in ((self.sums, other.sums), (self.counts, other.counts), (self.totals, other.totals)):
            for name, value in theirs.items():
                own[name] = own.get(name, 0.0) + value
        for name, value in other.maxima.items():
            self.most(name, value)
        for name, value in other.minima.items():
            self.least(name, value)
        for name, new in other.spreads.items():
            self.spreads[name] = [a + b for a, b in zip(self.spreads.get(name, (0.0, 0.0, 0.0)), new, strict=True)]
        self.bad += other.bad

    def summary(self, ranks: Any) -> dict[str, float]:
        """Return all numbers over all ranks, by name, and empty the meter. Seconds are those of the slowest rank."""
        everybody, total = ranks.gather(self), Meter()
        for meter in everybody:
            total.absorb(meter)
        out = {name: total.sums[name] / weight for name, weight in total.counts.items() if weight > 0}
        out |= total.totals | total.maxima | total.minima
        for name, (count, added, squares) in total.spreads.items():
            mean = added / count
            out |= {f"{name}/mean": mean, f"{name}/std": math.sqrt(max(0.0, squares / count - mean**2))}
        for name in total.totals:
            if name.startswith("timing_s/"):
                out[name] = max(meter.totals.get(name, 0.0) for meter in everybody)
        for store in (self.sums, self.counts, self.totals, self.maxima, self.minima, self.spreads):
            store.clear()
        return dict(sorted(out.items()))


def observe_collected(meter: Meter, scored: Iterable[Scored], algorithm: Algorithm, state: State | None) -> None:
    """Add the metrics of the collected groups, with the algorithm's state from before the step."""
    for s in scored:
        observe_lengths(meter, s.group)
        for name, reward in s.rewards.items():
            meter.add(f"rewards/{name}/mean", reward.mean().item())
            meter.add(f"rewards/{name}/std", std_of(reward))
        if s.rewards:
            meter.add("reward", s.total.mean().item())
            meter.add("reward_std", std_of(s.total))
            meter.add("frac_reward_zero_std", float(bool(s.total.max() == s.total.min())))
        for name, value in numbers_of(algorithm, s, state).items():
            meter.add(name, value)


def numbers_of(algorithm: Algorithm, scored: Scored, state: State | None) -> dict[str, float]:
    """Return the method's own metrics of a group. Raises ValueError for a value that is no number."""
    found, where = algorithm.metrics(scored, state), f"{type(algorithm).__name__}.metrics"
    if not isinstance(found, Mapping):
        raise ValueError(f"{where}: expected a mapping from names to numbers, found {type(found).__name__}")
    numbers = {}
    for name, value in found.items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several numbers
            raise ValueError(f"{where}: {name}: expected a number, found {value!r}") from None
    return numbers


def observe_lengths(meter: Meter, group: Group) -> None:
    """Add the lengths of a group's completions, the fraction that the limit of tokens cut, and the number of distinct texts."""
    lengths = group.completion_mask.sum(dim=1).float()
    meter.add("completions/mean_length", lengths.mean().item())
    meter.least("completions/min_length", lengths.min().item())
    meter.most("completions/max_length", lengths.max().item())
    meter.add("completions/clipped_ratio", (~group.finished).float().mean().item())
    meter.add("completions/distinct", len(set(group.texts)) / len(group))


def std_of(rewards: Tensor) -> float:
    """Return the unbiased standard deviation of a group's rewards; 0 for a group of one."""
    return rewards.std().item() if len(rewards) > 1 else 0.0


def observe_advantages(meter: Meter, batch: Sequence[Scored], weights: Sequence[TokenWeights]) -> None:
    """Add the advantages of a mini-batch's tokens."""
    for s, each in zip(batch, weights, strict=True):
        advantages = each.advantage[s.group.completion_mask].double()
        if len(advantages):
            meter.spread("advantages", advantages)


def observe_update(meter: Meter, algorithm: Algorithm, policy: Tokens, rows: RowSlice, loss: Tensor) -> None:
    """Add the metrics of the policy's log-probabilities of some rows in an update."""
    (scored, weights), mask, sampling = rows.learned, rows.group.completion_mask, rows.group.sampling_logprobs
    logprobs, count = policy.logprobs.detach(), int(mask.sum())
    meter.total("loss", loss.item())
    if not loss.isfinite():
        meter.bad.append(rows.group.prompt.example.id)
    meter.total("work/trained_tokens", float(count))
    if not count:  # rows of empty completions alone: they have no mean
        return
    meter.add("entropy", (policy.entropy.sum() / count).item(), count)
    if sampling is not None:
        meter.most("sampling/logprob_difference_max", ((logprobs - sampling) * mask).abs().max().item())
        meter.add("approx_kl", policy_gradient.k3(sampling, logprobs)[mask].mean().item(), count)
    ref_mask, reference = scored.ref_mask, scored.ref_logprobs
    if ref_mask is not None and reference is not None and ref_mask.any():
        meter.add("kl", policy_gradient.k3(logprobs, reference)[ref_mask].mean().item(), int(ref_mask.sum()))
    observe_clipping(meter, algorithm, policy, weights, scored)


def observe_clipping(meter: Meter, algorithm: Algorithm, policy: Tokens, weights: TokenWeights, scored: Scored) -> None:
    """Add the clip fractions: the fraction of tokens whose ratio the loss clips, from below, from above, and both."""
    with torch.no_grad():
        clipped = algorithm.clipped(policy, weights, scored)
    if clipped is None:
        return
    mask, where = scored.group.completion_mask, f"{type(algorithm).__name__}.clipped"
    if not isinstance(clipped, tuple | list) or len(clipped) != 2:
        raise ValueError(f"{where}: expected two masks, of tokens clipped from below and from above, or None")
    for each in clipped:
        check_mask(each, mask.shape, "n t", where)
    low, high = (float(micro_batch[mask].double().mean()) for micro_batch in clipped)
    for name, value in (("low", low), ("high", high), ("region", low + high)):
        meter.add(f"clip_ratio/{name}_mean", value, int(mask.sum()))
