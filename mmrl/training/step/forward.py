"""Forward passes of policy and reference over groups, in micro-batches that fit into memory."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from mmrl.algorithms.base import Algorithm, known
from mmrl.functional.shapes import check_mask
from mmrl.runtime.out_of_memory import run_with_smaller_batches
from mmrl.training.step.batching import BatchPlanner
from mmrl.training.step.metrics import Meter
from mmrl.types import Group, Prompt, ReferenceDistribution, RowSlice, Scored, Tokens

Result = TypeVar("Result")


class PolicyModel(Protocol):
    """The interface of the model that learns."""

    def full_parameters(self) -> AbstractContextManager: ...  # inside, ranks run independently of one another
    def reuse_features(self) -> AbstractContextManager: ...  # inside, the weights do not change
    def encode(self, prompts: Sequence[Prompt]) -> Any: ...
    def logprobs(
        self, encoded: Any, row_slices: Sequence[RowSlice], *, reference: ReferenceDistribution | None = None
    ) -> list[Tokens]: ...


class ReferenceModel(Protocol):
    """The interface of the model that the policy is compared with."""

    def full_parameters(self) -> AbstractContextManager: ...  # inside, ranks run independently of one another
    def group_logprobs(self, groups: Sequence[Group], where: Sequence[Tensor], keep: bool) -> list[Tokens]: ...
    def head(self) -> Tensor: ...
    def update_towards(self, policy: Any, step: int) -> float | None: ...


@dataclass
class ForwardPasses:
    """Policy and reference, and the planner that limits the tokens of a forward pass."""

    algorithm: Algorithm
    policy: PolicyModel
    reference: ReferenceModel | None
    planner: BatchPlanner

    def add_reference_logprobs(self, scored: Sequence[Scored], meter: Meter) -> list[Scored]:
        """Add the reference's log-probabilities, the mask of the tokens that it scored and, for a full-vocabulary KL, its hidden states."""
        reference = self.reference
        if reference is None:
            return list(scored)
        groups = [s.group for s in scored]
        where = [self.reference_mask(s) for s in scored]
        keep = self.algorithm.needs.full_vocabulary_kl is not None

        def attempt(planner: BatchPlanner) -> list[Tokens]:
            packs = list(planner.pack(groups))
            scores = [reference.group_logprobs([groups[i] for i in p], [where[i] for i in p], keep) for p in packs]
            return [tokens for batch in scores for tokens in batch]

        with reference.full_parameters():
            scores = self.within_memory(attempt, groups, meter)
        together = zip(scored, scores, where, strict=True)
        return [
            replace(s, ref_logprobs=tokens.logprobs, ref_mask=w, ref_hidden_states=tokens.hidden_states)
            for s, tokens, w in together
        ]

    def reference_mask(self, scored: Scored) -> Tensor:
        """Return the algorithm's mask of the tokens that the reference scores, within the completions, [g t]."""
        completions = scored.group.completion_mask
        mask = self.algorithm.reference_mask(scored.group, scored.rewards)
        if mask is None:
            return torch.zeros_like(completions)
        check_mask(mask, completions.shape, "g t", f"{type(self.algorithm).__name__}.reference_mask")
        return mask & completions

    def add_old_logprobs(self, scored: Sequence[Scored], meter: Meter) -> list[Scored]:
        """Add the policy's log-probabilities before an update, if the algorithm needs them.

        The policy computes them itself, also before the first update, although the sampler had the same weights: the two differ
        by rounding (``sampling/logprob_difference_max``), and the sum over a completion's tokens makes the difference large.
        """
        if not self.algorithm.needs.old_logprobs:
            return list(scored)
        groups, head = [s.group for s in scored], self.reference_head()

        def attempt(planner: BatchPlanner) -> list[Tokens]:
            results = []
            for pack in planner.pack(groups):
                with self.policy.encode([groups[i].prompt for i in pack]) as encoded:
                    slices = [RowSlice(place, groups[i], scored[i]) for place, i in enumerate(pack)]
                    results += self.logprobs(encoded, slices, head)
            return results

        with meter.phase("old_logprobs"), torch.no_grad(), self.policy.full_parameters():
            results = self.within_memory(attempt, groups, meter)
        return [replace(s, old_policy=tokens) for s, tokens in zip(scored, results, strict=True)]

    def reference_head(self) -> Tensor | None:
        """Return the reference's output head, for a full-vocabulary KL; None without one.

        All ranks must call it together.
        """
        exact = self.algorithm.needs.full_vocabulary_kl is not None
        return self.reference.head() if exact and self.reference is not None else None

    def logprobs(self, encoded: Any, micro_batch: Sequence[RowSlice], head: Tensor | None) -> list[Tokens]:
        """Return the policy's log-probabilities of a micro-batch; with a head also its full-vocabulary KL to the reference."""
        direction = self.algorithm.needs.full_vocabulary_kl
        if head is None or direction is None or micro_batch[0].dummy:
            return self.policy.logprobs(encoded, micro_batch)
        states = tuple(
            known(rows.scored and rows.scored.ref_hidden_states, "full_vocabulary_kl") for rows in micro_batch
        )
        return self.policy.logprobs(encoded, micro_batch, reference=ReferenceDistribution(states, head, direction))

    def within_memory(
        self,
        attempt: Callable[[BatchPlanner], Result],
        groups: Sequence[Group],
        meter: Meter,
        undo: Callable[[], None] | None = None,
    ) -> Result:
        """Run ``attempt`` on all groups in micro-batches of ``max_tokens_per_micro_batch``, or smaller ones if memory does not suffice.

        Micro-batches are whole groups. With ``undo``, which removes the effects of a failed attempt, they may be single rows;
        if weights are sharded they are not made smaller, because a rank cannot restart alone. The planner retains a smaller limit.
        """
        planner = self.planner
        limit = max(1, min(planner.max_tokens_per_micro_batch, planner.cost(groups)))
        smallest = groups if undo is None else [group.rows(slice(0, 1)) for group in groups]
        least = min((planner.cost([group]) for group in smallest), default=1)
        if undo is not None and planner.dummy is not None:
            least = planner.max_tokens_per_micro_batch

        def sized(max_tokens_per_micro_batch: int) -> Result:
            return attempt(replace(planner, max_tokens_per_micro_batch=max_tokens_per_micro_batch))

        undo = undo or (lambda: None)
        result, limit, halvings = run_with_smaller_batches(sized, limit, least, "max_tokens_per_micro_batch", undo)
        if halvings:
            self.planner = replace(planner, max_tokens_per_micro_batch=limit)
            meter.total("work/oom_retries", halvings)
        return result
