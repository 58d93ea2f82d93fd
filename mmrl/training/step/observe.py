"""The numbers of a step: what was collected, and what the policy says of it. docs/metrics.md lists them all."""

from collections.abc import Iterable, Sequence

from torch import Tensor

from mmrl.algorithms.base import Algorithm, Remembering
from mmrl.functional import policy_gradient
from mmrl.training.step.batching import Piece
from mmrl.training.step.metrics import Meter
from mmrl.types import Memory, Scored, Tokens


def describe(meter: Meter, scored: Iterable[Scored], algorithm: Algorithm, memory: Memory) -> None:
    """Numbers about what was collected, by what the algorithm knew before."""
    known = (memory,) if isinstance(algorithm, Remembering) else ()
    for s in scored:
        lengths = s.group.mask.sum(dim=1).float()
        meter.add("completion/tokens", lengths.mean().item())
        meter.add("completion/truncated", (~s.group.finished).float().mean().item())
        meter.add("completion/distinct", len(set(s.group.texts)) / len(s.group))
        for name, reward in s.rewards.items():
            meter.add(f"reward/{name}", reward.mean().item())
        if s.rewards:
            meter.add("reward/total", s.total.mean().item())
            meter.add("reward/std", s.total.std().item() if len(s.group) > 1 else 0.0)
        for name, value in algorithm.report(s, *known).items():
            meter.add(name, value)


def observe(meter: Meter, now: Sequence[Tokens], part: Sequence[Piece], losses: Sequence[Tensor]) -> None:
    """Numbers about what the policy says now, for the pieces of a part."""
    for tokens, piece, loss in zip(now, part, losses, strict=True):
        mask, sampled = piece.group.mask, piece.group.logp_sampled
        meter.total("loss", loss.item())
        meter.total("work/trained_tokens", float(mask.sum()))
        meter.add("policy/entropy", (tokens.entropy.sum() / mask.sum()).item(), int(mask.sum()))
        if sampled is not None:
            meter.most("policy/sampler_gap", ((tokens.logp.detach() - sampled) * mask).abs().max().item())
        read = piece.scored.read
        if read is not None and read.any():
            divergence = policy_gradient.k3(tokens.logp.detach(), piece.scored.reference)[read]
            meter.add("reference/k3", divergence.mean().item(), int(read.sum()))
