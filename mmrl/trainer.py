"""The algorithm box: collect, credit, learn. It knows no algorithm, no model family, no file format."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

import torch
from torch import Tensor

from mmrl.algorithms.base import Algorithm
from mmrl.meter import Meter
from mmrl.observe import describe, observe
from mmrl.plan import Bundle, Filler, Piece, Planner, packs
from mmrl.shard import clip_gradients
from mmrl.types import Credit, Example, Group, Prompt, Scored, Tokens, Totals


class NonFiniteError(RuntimeError):
    """A loss or gradient that is not finite. The weights are those before the optimizer step that would have been."""


class Policy(Protocol):
    """What the trainer needs of the model that learns."""

    def see(self, prompts: Sequence[Prompt]) -> Any: ...
    def read(self, seen: Any, pieces: Sequence[Piece | Filler]) -> list[Tokens]: ...


class Reference(Protocol):
    """What the trainer needs of the model that it compares with."""

    def whole(self) -> AbstractContextManager: ...  # inside, ranks read independently of one another
    def score(self, groups: Sequence[Group], where: Sequence[Tensor]) -> list[Tensor]: ...
    def follow(self, policy: Policy, step: int) -> bool: ...
    def drift_ratio(self) -> float: ...


@dataclass
class Trainer:
    """One optimizer, one algorithm, and the callables that feed it."""

    algorithm: Algorithm
    policy: Policy
    reference: Reference | None
    optimizer: torch.optim.Optimizer
    rate: Callable[[int], float]  # optimizer step -> share of each parameter group's base_lr
    ranks: Any
    examples: Callable[[int], Sequence[Example]]  # step -> this rank's examples
    prepare: Callable[[Sequence[Example]], Sequence[Prompt]]  # decoded and tokenised
    sample: Callable[[Sequence[Prompt], int], Sequence[Group]]
    grade: Callable[[Group], Mapping[str, Tensor]]
    weights: Mapping[str, float]  # of the rewards
    planner: Planner
    updates: int = 1  # optimizer steps on the groups of one collection
    clip_norm: float = 1.0
    step_done: int = 0  # collections learned from
    update_done: int = 0  # optimizer steps
    moved: bool = False  # whether the weights changed since the newest whole step
    meter: Meter = field(default_factory=Meter)
    last: Sequence[Scored] = ()  # what the newest step collected

    def step(self) -> dict[str, float]:
        """Collect, credit, learn."""
        self.last = scored = self.collect()
        for batch in self.batches(scored):
            totals = self.totals(batch)
            credits = [self.algorithm.credit(s, totals) for s in batch]
            for bundle in self.plan(batch, credits):
                with self.policy.see(bundle.prompts) as seen:  # prompts and videos once; their backward at exit
                    for part in bundle.parts:  # cut for memory only
                        now = self.policy.read(seen, part)
                        self.backward(now, part)
            self.update(batch, totals)
        self.step_done, self.moved = self.step_done + 1, False
        return self.meter.summary(self.ranks)

    def collect(self) -> list[Scored]:
        """Sample, grade, read the reference."""
        with self.phase("data"):
            prompts = self.prepare(self.examples(self.step_done))
        with self.phase("rollout"):
            groups = self.sample(prompts, self.step_done)
        with self.phase("reward"):
            rewards = [self.grade(group) for group in groups]
        with self.phase("reference"):
            read = self.read_reference(groups, rewards)
        scored = [
            Scored(group, reward, self.total(group, reward), *pair)
            for group, reward, pair in zip(groups, rewards, read, strict=True)
        ]
        describe(self.meter, scored, self.algorithm)
        return scored

    def total(self, group: Group, rewards: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the rewards; 0 where there are none."""
        return sum((w * rewards[name] for name, w in self.weights.items()), torch.zeros(len(group)))

    def read_reference(
        self, groups: Sequence[Group], rewards: Sequence[Mapping[str, Tensor]]
    ) -> list[tuple[Tensor | None, Tensor | None]]:
        """For each group what the reference says of the tokens that the algorithm asks for."""
        if self.reference is None:
            return [(None, None)] * len(groups)
        where = [self.algorithm.reads(group, reward) for group, reward in zip(groups, rewards, strict=True)]
        where = [torch.zeros_like(g.mask) if w is None else w for g, w in zip(groups, where, strict=True)]
        out: list[tuple[Tensor | None, Tensor | None]] = []
        with self.reference.whole():
            for some in packs(groups, self.planner.part_tokens):
                logp = self.reference.score([groups[i] for i in some], [where[i] for i in some])
                out += [(p, where[i]) for p, i in zip(logp, some, strict=True)]
        return out

    def batches(self, scored: Sequence[Scored]) -> Iterator[Sequence[Scored]]:
        """The groups of each optimizer step: all of them, or as many equal parts as there are updates."""
        size = -(-len(scored) // self.updates) if scored else 1
        for k in range(self.updates):
            yield scored[k * size : (k + 1) * size]

    def totals(self, batch: Sequence[Scored]) -> Totals:
        """The denominators over all ranks, so that neither parts nor ranks change the loss."""
        sequences, tokens = sum(len(s.group) for s in batch), sum(int(s.group.mask.sum()) for s in batch)
        return Totals(*self.ranks.sums([len(batch), sequences, tokens]))

    def plan(self, batch: Sequence[Scored], credits: Sequence[Credit]) -> Iterable[Bundle]:
        """What is seen and read for an update. A group of which no token moves the policy is left out, and counted."""
        loud = [(s, c) for s, c in zip(batch, credits, strict=True) if not c.silent]
        self.meter.add("groups/useful", len(loud) / len(batch) if batch else 0.0, len(batch))
        return self.planner.plan(loud)

    def backward(self, now: Sequence[Tokens], part: Sequence[Piece] | tuple[Filler]) -> None:
        """Add the part's gradient."""
        if isinstance(part[0], Filler):
            (0 * now[0].logp).sum().backward()
            return
        losses = [
            (self.algorithm.loss(tokens, piece.credit, piece.scored) * piece.credit.share).sum()
            for tokens, piece in zip(now, part, strict=True)
        ]
        observe(self.meter, now, part, losses)
        for piece, loss in zip(part, losses, strict=True):
            if not loss.isfinite():
                self.meter.bad.append(piece.group.prompt.example.id)
        torch.stack(losses).sum().backward()  # also where it is not finite, as other ranks wait; update refuses it

    def update(self, batch: Sequence[Scored], totals: Totals) -> None:
        """Reduce once over ranks, clip, step, zero; the reference follows."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        with self.phase("update"):
            self.refuse(sorted({name for names in self.ranks.gather(self.meter.bad) for name in names}), "loss")
            if totals.groups == 0:
                return
            self.ranks.add_gradients(parameters)
            norm = clip_gradients(parameters, self.clip_norm)
            if not norm.isfinite():
                own = [s.group.prompt.example.id for s in batch]
                self.refuse(sorted({name for names in self.ranks.gather(own) for name in names}), "gradient")
            self.meter.add("optimizer/grad_norm", float(norm))
            for group in self.optimizer.param_groups:
                group["lr"] = group["base_lr"] * self.rate(self.update_done)
            self.meter.add("optimizer/lr", max(group["lr"] for group in self.optimizer.param_groups))
            self.moved = True
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        self.update_done += 1
        if self.reference is not None and self.reference.follow(self.policy, self.update_done):
            self.meter.add("ema/drift_ratio", self.reference.drift_ratio())

    def refuse(self, ids: Sequence[str], what: str) -> None:
        """Stop before the weights are touched."""
        if not ids:
            return
        self.optimizer.zero_grad(set_to_none=True)
        self.meter.bad = []
        raise NonFiniteError(
            f"step {self.step_done + 1}: expected a finite {what}, found one that is not; examples "
            f"{', '.join(ids[:20])}. The weights are those before this update. Look at these examples, lower the "
            "learning rate or use float32"
        )

    def phase(self, name: str) -> "Phase":
        """Times what is done inside."""
        return Phase(self.meter, name)


@dataclass
class Phase:
    """A clock around one part of the step."""

    meter: Meter
    name: str
    start: float = 0.0

    def __enter__(self) -> None:
        self.start = perf_counter()

    def __exit__(self, *_) -> None:
        self.meter.total(f"seconds/{self.name}", perf_counter() - self.start)
