"""The algorithm box: collect, credit, learn. It knows no algorithm, no model family, no file format."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from mmrl.algorithms.base import Algorithm, State
from mmrl.runtime.sharding import clip_gradients
from mmrl.training.step.batching import PromptBatch, BatchPlanner
from mmrl.training.step.collect import Collector
from mmrl.training.step.forward import PolicyModel, ForwardPasses, ReferenceModel
from mmrl.training.step.metrics import Meter, describe, observe
from mmrl.training.step.non_finite import refuse
from mmrl.types import Credit, RowSlice, Scored, Tokens, Totals


@dataclass
class Trainer:
    """One optimizer, and an algorithm between what collects and what reads."""

    algorithm: Algorithm
    collector: Collector
    forward: ForwardPasses
    optimizer: torch.optim.Optimizer
    lr_multiplier: Callable[[int], float]  # optimizer step -> share of each parameter group's base_lr
    ranks: Any
    mini_batches_per_step: int = 1  # optimizer steps on the groups of one collection
    max_grad_norm: float = 1.0
    proposal: Any = None  # samples in the policy's place, and can ``adopt`` the policy's weights
    compare: Callable[[Any, Sequence[Any]], Mapping[str, float]] | None = None  # two ways to read; may raise
    checked_kinds: frozenset[str] | None = None  # the kinds of media that they were compared on; None before the first time
    state: State | None = field(init=False)  # of the algorithm; None where it keeps none
    step_done: int = 0  # collections learned from
    update_done: int = 0  # optimizer steps
    mid_step: bool = False  # whether the weights changed since the newest whole step
    meter: Meter = field(default_factory=Meter)
    last: Sequence[Scored] = ()  # what the newest step collected

    def __post_init__(self) -> None:
        self.state = self.algorithm.start(self.collector.base_rewards)

    @property
    def policy(self) -> PolicyModel:
        return self.forward.policy

    @property
    def reference(self) -> ReferenceModel | None:
        return self.forward.reference

    def step(self) -> dict[str, float]:
        """Collect, credit, learn."""
        self.last = scored = self.collect()
        memory = self.next_state(scored)
        for number, batch in enumerate(self.mini_batches(scored)):
            batch = self.forward.add_old_logprobs(batch, self.meter) if number else batch
            totals = self.normalisers(batch)
            credits = [self.algorithm.credit(s, totals, self.state) for s in batch]
            self.accumulate_gradients(self.with_signal(batch, credits))
            self.update(batch, totals)
        self.state = memory
        self.collector.finish_step()
        self.step_done, self.mid_step = self.step_done + 1, False
        return self.meter.summary(self.ranks)

    def collect(self) -> list[Scored]:
        """Sample and grade; then ask the reference and the policy what the algorithm wants to know of the completions."""
        with self.policy.reuse_features() if self.algorithm.needs.old_logprobs else nullcontext():  # it reads what it sampled
            scored = self.collector.collect(self.algorithm, self.step_done + 1, self.meter)
            with self.meter.phase("reference"):
                scored = self.forward.add_reference_logprobs(scored, self.meter)
            scored = self.forward.add_old_logprobs(scored, self.meter)
        describe(self.meter, scored, self.algorithm, self.state)
        return scored

    def next_state(self, scored: Sequence[Scored]) -> State | None:
        """The memory of the algorithm after this step; and the policy replaces the proposal, where it asks for that."""
        needs = self.algorithm.needs
        if needs.state is None:
            return None
        everybody = self.ranks.gather([self.algorithm.notes(s, self.state) for s in scored])
        memory = self.algorithm.remember(self.state, [notes for rank in everybody for notes in rank])
        if self.proposal is not None and needs.proposal is not None:
            adopted = (self.step_done + 1) % needs.proposal.every == 0 and self.algorithm.adopt(memory)
            if adopted:
                self.proposal.adopt(self.policy)
            self.meter.most("proposal/adopted", float(adopted))
        return memory

    def mini_batches(self, scored: Sequence[Scored]) -> list[Sequence[Scored]]:
        """The groups of each optimizer step: all of them, or as many equal parts as there are updates."""
        size = -(-len(scored) // self.mini_batches_per_step)
        return [scored[k * size : (k + 1) * size] for k in range(self.mini_batches_per_step)]

    def normalisers(self, batch: Sequence[Scored]) -> Totals:
        """The denominators over all ranks, so that neither parts nor ranks change the loss."""
        sequences, tokens = sum(len(s.group) for s in batch), sum(int(s.group.completion_mask.sum()) for s in batch)
        return Totals(*self.ranks.sums([len(batch), sequences, tokens]))

    def with_signal(self, batch: Sequence[Scored], credits: Sequence[Credit]) -> list[tuple[Scored, Credit]]:
        """The groups that are learned from. One of which no token moves the policy is left out, and counted."""
        loud = [(s, c) for s, c in zip(batch, credits, strict=True) if not c.without_signal]
        self.meter.add("groups/useful", len(loud) / len(batch) if batch else 0.0, len(batch))
        return loud

    def accumulate_gradients(self, loud: Sequence[tuple[Scored, Credit]]) -> None:
        """Add up the gradient of an update; where memory does not suffice, from the start in smaller parts."""
        numbers = self.forward.within_memory(
            lambda planner: self.forward_backward(loud, planner),
            [scored.group for scored, _ in loud],
            self.meter,
            undo=lambda: self.optimizer.zero_grad(set_to_none=True),
        )
        self.meter.absorb(numbers)

    def forward_backward(self, loud: Sequence[tuple[Scored, Credit]], planner: BatchPlanner) -> Meter:
        """See, read and go back, bundle by bundle; the numbers of all parts."""
        head, meter = self.forward.reference_head(), Meter()
        for bundle in planner.plan(loud):
            with self.policy.encode(bundle.prompts) as seen:  # prompts and videos once; their backward at exit
                self.check_prefix_sharing(seen, bundle)
                for part in bundle.micro_batches:  # cut for memory only
                    now = self.forward.logprobs(seen, part, head)
                    self.backward(now, part, meter)
        return meter

    def check_prefix_sharing(self, seen: Any, bundle: PromptBatch) -> None:
        """Before a run first learns, and before it first learns from videos or images, the policy compares its two ways to read."""
        if self.compare is None or (self.checked_kinds is not None and bundle.kinds <= self.checked_kinds):
            return
        with self.meter.phase("compare"):
            distances = self.compare(seen, bundle.micro_batches[0])
        for name, value in distances.items():
            self.meter.most(f"work/compare_{name}", value)
        self.checked_kinds = bundle.kinds | (self.checked_kinds or frozenset())

    def backward(self, now: Sequence[Tokens], part: Sequence[RowSlice], meter: Meter) -> None:
        """Add the part's gradient."""
        if part[0].dummy:
            (0 * now[0].logp).sum().backward()
            return
        losses = []
        for tokens, rows in zip(now, part, strict=True):
            scored, credit = rows.learned
            losses.append((self.algorithm.loss(tokens, credit, scored) * credit.loss_weight).sum())
            if not losses[-1].isfinite():
                meter.bad.append(rows.group.prompt.example.id)
        observe(meter, now, part, losses)
        torch.stack(losses).sum().backward()  # also where it is not finite, as other ranks wait; update refuses it

    def update(self, batch: Sequence[Scored], totals: Totals) -> None:
        """Reduce once over ranks, clip, step, zero; the reference follows."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        with self.meter.phase("update"):
            self.raise_non_finite(self.meter.bad, "loss")
            if totals.groups == 0:
                return
            self.ranks.add_gradients(parameters)
            norm = clip_gradients(parameters, self.max_grad_norm)
            if not norm.isfinite():
                self.raise_non_finite([s.group.prompt.example.id for s in batch], "gradient")
            self.meter.add("optimizer/grad_norm", float(norm))
            for group in self.optimizer.param_groups:
                group["lr"] = group["base_lr"] * self.lr_multiplier(self.update_done)
            self.meter.add("optimizer/lr", max(group["lr"] for group in self.optimizer.param_groups))
            self.mid_step = True
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        self.update_done += 1
        drift = None if self.reference is None else self.reference.update_towards(self.policy, self.update_done)
        if drift is not None:
            self.meter.add("ema/drift_ratio", drift)

    def raise_non_finite(self, own: Sequence[str], what: str) -> None:
        """Where any rank has examples of which something is no number: stop before the weights are touched."""
        if ids := self.ranks.names(own):
            self.optimizer.zero_grad(set_to_none=True)
            self.meter.bad = []
            refuse(ids, self.step_done + 1, what)
