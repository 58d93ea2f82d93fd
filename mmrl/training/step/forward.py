"""Log-probabilities of groups by policy and reference, read in parts that memory suffices for."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from mmrl.algorithms.base import Algorithm, known
from mmrl.runtime.out_of_memory import run_with_smaller_batches
from mmrl.training.step.batching import BatchPlanner
from mmrl.training.step.metrics import Meter
from mmrl.types import Against, Group, Prompt, RowSlice, Scored, Tokens

Result = TypeVar("Result")


class PolicyModel(Protocol):
    """The model that learns, as training uses it."""

    def full_parameters(self) -> AbstractContextManager: ...  # inside, ranks read independently of one another
    def reuse_features(self) -> AbstractContextManager: ...  # inside, nobody writes to its weights
    def encode(self, prompts: Sequence[Prompt]) -> Any: ...
    def logprobs(self, seen: Any, pieces: Sequence[RowSlice], *, against: Against | None = None) -> list[Tokens]: ...


class ReferenceModel(Protocol):
    """The model that training compares with, as training uses it."""

    def full_parameters(self) -> AbstractContextManager: ...  # inside, ranks read independently of one another
    def logprobs(self, groups: Sequence[Group], where: Sequence[Tensor], keep: bool) -> list[Tokens]: ...
    def head(self) -> Tensor: ...
    def update_towards(self, policy: Any, step: int) -> float | None: ...


@dataclass
class ForwardPasses:
    """Both models, what the algorithm asks of them, and how much of it is read at a time."""

    algorithm: Algorithm
    policy: PolicyModel
    reference: ReferenceModel | None
    planner: BatchPlanner

    def add_reference_logprobs(self, scored: Sequence[Scored], meter: Meter) -> list[Scored]:
        """Add the reference's log-probabilities, where it read, and, for a full-vocabulary KL, its hidden states."""
        reference = self.reference
        if reference is None:
            return list(scored)
        groups = [s.group for s in scored]
        where = [self.algorithm.reads(s.group, s.rewards) for s in scored]
        where = [torch.zeros_like(g.completion_mask) if w is None else w for g, w in zip(groups, where, strict=True)]
        keep = self.algorithm.needs.full_vocabulary_kl is not None

        def attempt(planner: BatchPlanner) -> list[Tokens]:
            packs = list(planner.pack(groups))
            read = [reference.logprobs([groups[i] for i in p], [where[i] for i in p], keep) for p in packs]
            return [tokens for some in read for tokens in some]

        with reference.full_parameters():
            read = self.within_memory(attempt, groups, meter)
        together = zip(scored, read, where, strict=True)
        return [replace(s, reference=tokens.logp, read=w, states=tokens.hidden_states) for s, tokens, w in together]

    def add_old_logprobs(self, scored: Sequence[Scored], meter: Meter) -> list[Scored]:
        """Add the policy's log-probabilities before an update, for an algorithm that needs them.

        Read by the policy itself, also before the first update, where the sampler's numbers are of the same weights: those
        differ by rounding (``policy/sampler_gap``), which the sum over a completion's tokens makes large.
        """
        if not self.algorithm.needs.old_logprobs:
            return list(scored)
        groups, head = [s.group for s in scored], self.reference_head()

        def attempt(planner: BatchPlanner) -> list[Tokens]:
            read = []
            for some in planner.pack(groups):
                with self.policy.encode([groups[i].prompt for i in some]) as seen:
                    whole = [RowSlice(place, groups[i], scored[i]) for place, i in enumerate(some)]
                    read += self.logprobs(seen, whole, head)
            return read

        with meter.phase("now"), torch.no_grad(), self.policy.full_parameters():
            read = self.within_memory(attempt, groups, meter)
        return [replace(s, now=tokens) for s, tokens in zip(scored, read, strict=True)]

    def reference_head(self) -> Tensor | None:
        """The reference's output head, for a divergence over the whole vocabulary. All ranks must ask together."""
        exact = self.algorithm.needs.full_vocabulary_kl is not None
        return self.reference.head() if exact and self.reference is not None else None

    def logprobs(self, seen: Any, part: Sequence[RowSlice], head: Tensor | None) -> list[Tokens]:
        """Read rows by the policy; with a head also how far it is from the reference, over the whole vocabulary."""
        direction = self.algorithm.needs.full_vocabulary_kl
        if head is None or direction is None or part[0].dummy:
            return self.policy.logprobs(seen, part)
        states = tuple(known(rows.scored and rows.scored.ref_hidden_states, "full_vocabulary_kl") for rows in part)
        return self.policy.logprobs(seen, part, against=Against(states, head, direction))

    def within_memory(
        self,
        attempt: Callable[[BatchPlanner], Result],
        groups: Sequence[Group],
        meter: Meter,
        undo: Callable[[], None] | None = None,
    ) -> Result:
        """Attempt something with all groups in parts of ``part_tokens``, or in smaller ones where memory does not suffice.

        Parts are whole groups; with ``undo``, which takes back what a failed attempt left, they may be single rows, save where
        ranks keep step and cannot begin anew alone. The limit is the planner's, and stays as small as it had to become.
        """
        planner = self.planner
        limit = max(1, min(planner.max_tokens, planner.cost(groups)))
        smallest = groups if undo is None else [group.rows(slice(0, 1)) for group in groups]
        least = min((planner.cost([group]) for group in smallest), default=1)
        if undo is not None and planner.dummy is not None:
            least = planner.max_tokens

        def sized(part_tokens: int) -> Result:
            return attempt(replace(planner, part_tokens=part_tokens))

        undo = undo or (lambda: None)
        result, limit, halvings = run_with_smaller_batches(sized, limit, least, "part_tokens", undo)
        if halvings:
            self.planner = replace(planner, part_tokens=limit)
            meter.total("work/halvings", halvings)
        return result
