"""The training step: collect completions, weigh their tokens, learn. It knows no algorithm, no model family, no file format."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from mmrl.algorithms.base import Algorithm, State, check_round_trip
from mmrl.functional.shapes import check_loss, check_shape
from mmrl.runtime.sharding import clip_gradients
from mmrl.training.step.batching import BatchPlanner, PromptBatch
from mmrl.training.step.collect import Collector
from mmrl.training.step.forward import ForwardPasses, PolicyModel, ReferenceModel
from mmrl.training.step.metrics import Meter, observe_advantages, observe_collected, observe_update
from mmrl.training.step.non_finite import refuse
from mmrl.types import LossNormalisers, RowSlice, Scored, Tokens, TokenWeights


@dataclass
class Trainer:
    """Takes training steps: connects an algorithm with the collector, the models and the optimizer."""

    algorithm: Algorithm
    collector: Collector
    forward: ForwardPasses
    optimizer: torch.optim.Optimizer
    lr_multiplier: Callable[[int], float]  # optimizer step -> factor on each parameter group's base_lr
    ranks: Any
    mini_batches_per_step: int = 1  # optimizer steps on the groups of one collection
    max_grad_norm: float = 1.0
    proposal: Any = None  # samples in the policy's place; ``sync`` copies the policy's weights into it
    compare: Callable[[Any, Sequence[Any]], Mapping[str, float]] | None = None  # shared prefix against plain; may raise
    # the kinds of media on which they were compared; None before the first time
    checked_kinds: frozenset[str] | None = None
    state: State | None = field(init=False)  # the algorithm's; None if it keeps none
    step_done: int = 0  # collections that the policy has learned from
    update_done: int = 0  # optimizer steps
    mid_step: bool = False  # True if the weights changed since the newest whole step
    meter: Meter = field(default_factory=Meter)
    last: Sequence[Scored] = ()  # the groups of the newest step

    def __post_init__(self) -> None:
        self.state = self.declared(self.algorithm.init_state(self.collector.base_rewards), "init_state")
        if self.state is not None:
            check_round_trip(self.state)  # now, and not at the first checkpoint

    @property
    def policy(self) -> PolicyModel:
        return self.forward.policy

    @property
    def reference(self) -> ReferenceModel | None:
        return self.forward.reference

    def step(self) -> dict[str, float]:
        """Collect completions, weigh their tokens, learn."""
        self.last = scored = self.collect()
        state = self.next_state(scored)
        for number, batch in enumerate(self.mini_batches(scored)):
            batch = self.forward.add_old_logprobs(batch, self.meter) if number else batch
            normalisers = self.normalisers(batch)
            weights = [self.token_weights(s, normalisers) for s in batch]  # the algorithm's, checked
            self.accumulate_gradients(self.with_signal(batch, weights))
            self.update(batch, normalisers)
        self.state = state
        self.collector.finish_step()
        self.step_done, self.mid_step = self.step_done + 1, False
        return self.meter.summary(self.ranks)

    def collect(self) -> list[Scored]:
        """Sample and grade; then add the log-probabilities of reference and old policy that the algorithm needs."""
        with self.policy.reuse_features() if self.algorithm.needs.old_logprobs else nullcontext():
            scored = self.collector.collect(self.algorithm, self.step_done + 1, self.meter)
            with self.meter.phase("ref"):
                scored = self.forward.add_reference_logprobs(scored, self.meter)
            scored = self.forward.add_old_logprobs(scored, self.meter)
        observe_collected(self.meter, scored, self.algorithm, self.state)
        return scored

    def next_state(self, scored: Sequence[Scored]) -> State | None:
        """Return the algorithm's state after this step; the policy replaces the proposal if the algorithm says so."""
        needs = self.algorithm.needs
        if needs.state is None:
            return None
        everybody = self.ranks.gather([self.algorithm.observe(s, self.state) for s in scored])
        state = self.algorithm.update_state(self.state, [each for rank in everybody for each in rank])
        state = self.declared(state, "update_state")
        if self.proposal is not None and needs.proposal is not None:
            synced = (self.step_done + 1) % needs.proposal.every == 0 and self.algorithm.sync_proposal(state)
            if synced:
                self.proposal.sync(self.policy)
            self.meter.most("proposal/synced", float(synced))
        return state

    def declared(self, state: Any, method: str) -> Any:
        """Return a state of the algorithm. Raises ValueError unless it is of the class that ``needs.state`` names; None if that is None."""
        kind = self.algorithm.needs.state
        if isinstance(state, type(None) if kind is None else kind):
            return state
        expected = "None, as is needs.state" if kind is None else f"an object of {kind.__name__}, as needs.state says"
        raise ValueError(f"{self.where(method)}: expected {expected}; found {type(state).__name__}")

    def where(self, method: str) -> str:
        """Return the name of one of the algorithm's methods, for messages."""
        return f"{type(self.algorithm).__name__}.{method}"

    @contextmanager
    def named(self, method: str, scored: Scored) -> Iterator[None]:
        """Add to an error which of the algorithm's methods raised it, and for which example."""
        try:
            yield
        except Exception as error:  # a method is a user's code and raises anything; it is raised again
            error.add_note(f"in {self.where(method)}, example {scored.group.prompt.example.id}")
            raise

    def token_weights(self, scored: Scored, normalisers: LossNormalisers) -> TokenWeights:
        """Return the algorithm's weights of a group's tokens. Raises ValueError for weights of another shape."""
        with self.named("token_weights", scored):
            weights = self.algorithm.token_weights(scored, normalisers, self.state)
        shape = scored.group.completion_mask.shape
        if not isinstance(weights, TokenWeights):
            found = type(weights).__name__
            raise ValueError(f"{self.where('token_weights')}: expected mmrl.TokenWeights, found {found}")
        for name in ("advantage", "kl_weight", "loss_weight"):
            check_shape(getattr(weights, name), shape, "g t", f"{self.where('token_weights')}: {name}")
        return weights

    def mini_batches(self, scored: Sequence[Scored]) -> list[Sequence[Scored]]:
        """Return the groups of each optimizer step: equal parts of the collected groups."""
        size = -(-len(scored) // self.mini_batches_per_step)
        return [scored[k * size : (k + 1) * size] for k in range(self.mini_batches_per_step)]

    def normalisers(self, batch: Sequence[Scored]) -> LossNormalisers:
        """Count groups, sequences and tokens over all ranks, so that neither micro-batches nor ranks change the loss."""
        sequences, tokens = sum(len(s.group) for s in batch), sum(int(s.group.completion_mask.sum()) for s in batch)
        return LossNormalisers(*self.ranks.sums([len(batch), sequences, tokens]))

    def with_signal(
        self, batch: Sequence[Scored], weights: Sequence[TokenWeights]
    ) -> list[tuple[Scored, TokenWeights]]:
        """Return the groups with at least one token that has a gradient, and count the others."""
        informative = [(s, w) for s, w in zip(batch, weights, strict=True) if not w.without_signal]
        fraction = 1 - len(informative) / len(batch) if batch else 0.0
        self.meter.add("groups/frac_without_signal", fraction, len(batch))
        observe_advantages(self.meter, batch, weights)
        return informative

    def accumulate_gradients(self, informative: Sequence[tuple[Scored, TokenWeights]]) -> None:
        """Add up the gradient of an update; if memory does not suffice, from the start in smaller micro-batches."""
        numbers = self.forward.within_memory(
            lambda planner: self.forward_backward(informative, planner),
            [scored.group for scored, _ in informative],
            self.meter,
            undo=lambda: self.optimizer.zero_grad(set_to_none=True),
        )
        self.meter.absorb(numbers)

    def forward_backward(self, informative: Sequence[tuple[Scored, TokenWeights]], planner: BatchPlanner) -> Meter:
        """Run forward and backward passes over all micro-batches; return their numbers."""
        head, meter = self.forward.reference_head(), Meter()
        for batch in planner.plan(informative):
            with self.policy.encode(batch.prompts) as encoded:  # prompts and videos once; their backward at exit
                self.check_prefix_sharing(encoded, batch)
                for micro_batch in batch.micro_batches:  # split for memory only
                    policy = self.forward.logprobs(encoded, micro_batch, head)
                    self.backward(policy, micro_batch, meter)
        return meter

    def check_prefix_sharing(self, encoded: Any, batch: PromptBatch) -> None:
        """Compare shared prefixes with plain rows before a run first learns, and before it first learns from videos or images."""
        if self.compare is None or (self.checked_kinds is not None and batch.kinds <= self.checked_kinds):
            return
        with self.meter.phase("compare"):
            distances = self.compare(encoded, batch.micro_batches[0])
        for name, value in distances.items():
            self.meter.most(f"work/compare_{name}", value)
        self.checked_kinds = batch.kinds | (self.checked_kinds or frozenset())

    def backward(self, policy: Sequence[Tokens], micro_batch: Sequence[RowSlice], meter: Meter) -> None:
        """Add the gradient of a micro-batch."""
        if micro_batch[0].dummy:
            (0 * policy[0].logprobs).sum().backward()
            return
        losses = []
        for tokens, rows in zip(policy, micro_batch, strict=True):
            scored, weights = rows.learned
            with self.named("loss", scored):
                loss = self.algorithm.loss(tokens, weights, scored)
            check_loss(loss, tokens.logprobs, self.where("loss"))
            losses.append((loss * weights.loss_weight).sum())
            observe_update(meter, self.algorithm, tokens, rows, losses[-1])
        torch.stack(losses).sum().backward()  # also if it is not finite, because other ranks wait; update refuses it

    def update(self, batch: Sequence[Scored], normalisers: LossNormalisers) -> None:
        """Sum the gradients over ranks, clip them, take an optimizer step, and update the reference."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        with self.meter.phase("optimizer"):
            self.raise_non_finite(self.meter.bad, "loss")
            if normalisers.groups == 0:
                return
            self.ranks.add_gradients(parameters)
            norm = clip_gradients(parameters, self.max_grad_norm)
            if not norm.isfinite():
                self.raise_non_finite([s.group.prompt.example.id for s in batch], "gradient")
            self.meter.add("grad_norm", float(norm))
            for group in self.optimizer.param_groups:
                group["lr"] = group["base_lr"] * self.lr_multiplier(self.update_done)
            self.meter.add("learning_rate", max(group["lr"] for group in self.optimizer.param_groups))
            self.mid_step = True
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        self.update_done += 1
        drift = None if self.reference is None else self.reference.update_towards(self.policy, self.update_done)
        if drift is not None:
            self.meter.add("ema/drift_ratio", drift)

    def raise_non_finite(self, own: Sequence[str], what: str) -> None:
        """Raise NonFiniteError, before the weights change, if any rank has examples whose ``what`` is not finite."""
        if ids := self.ranks.names(own):
            self.optimizer.zero_grad(set_to_none=True)
            self.meter.bad = []
            refuse(ids, self.step_done + 1, what)
