"""What policy and reference say of groups, read in parts that memory suffices for."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from mmrl.algorithms.base import Algorithm, claims, exact
from mmrl.runtime.out_of_memory import fitted
from mmrl.training.step.batching import Filler, Planner
from mmrl.training.step.metrics import Meter
from mmrl.types import Against, Group, Prompt, Scored, Tokens

Result = TypeVar("Result")


class Policy(Protocol):
    """What training needs of the model that learns."""

    def whole(self) -> AbstractContextManager: ...  # inside, ranks read independently of one another
    def still(self) -> AbstractContextManager: ...  # inside, nobody writes to its weights
    def see(self, prompts: Sequence[Prompt]) -> Any: ...
    def read(self, seen: Any, pieces: Sequence[Any], *, against: Against | None = None) -> list[Tokens]: ...


class Reference(Protocol):
    """What training needs of the model that it compares with."""

    def whole(self) -> AbstractContextManager: ...  # inside, ranks read independently of one another
    def score(self, groups: Sequence[Group], where: Sequence[Tensor], keep: bool) -> list[Tokens]: ...
    def head(self) -> Tensor: ...
    def follow(self, policy: Policy, step: int) -> bool: ...
    def drift_ratio(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole group for the policy to read; ``index`` is its place among the prompts."""

    index: int
    scored: Scored

    @property
    def group(self) -> Group:
        return self.scored.group


@dataclass
class Readings:
    """Both models, what the algorithm asks of them, and how much of it is read at a time."""

    algorithm: Algorithm
    policy: Policy
    reference: Reference | None
    planner: Planner

    def still(self) -> AbstractContextManager:
        """Around the collection of a step: where the policy is asked to read what it sampled, it looks at videos once for both."""
        return self.policy.still() if claims(self.algorithm, "needs_now") else nullcontext()

    def by_reference(self, scored: Sequence[Scored], meter: Meter) -> list[Scored]:
        """With what the reference says of the tokens that the algorithm asks for, which these are, and its states."""
        if self.reference is None:
            return list(scored)
        groups = [s.group for s in scored]
        where = [self.algorithm.reads(s.group, s.rewards) for s in scored]
        where = [torch.zeros_like(g.mask) if w is None else w for g, w in zip(groups, where, strict=True)]
        keep = exact(self.algorithm) is not None

        def attempt(planner: Planner) -> list[Tokens]:
            packs = list(planner.packs(groups))
            read = [self.reference.score([groups[i] for i in p], [where[i] for i in p], keep) for p in packs]
            return [tokens for some in read for tokens in some]

        with self.reference.whole():
            found = self.fitted(attempt, groups, self.least(groups), meter)
        together = zip(scored, found, where, strict=True)
        return [replace(s, reference=tokens.logp, read=w, states=tokens.states) for s, tokens, w in together]

    def by_policy(self, scored: Sequence[Scored], meter: Meter) -> list[Scored]:
        """With what the policy says of the completions as it is, for an algorithm that needs it.

        Read by the policy itself, also before the first update, where the sampler's numbers are of the same weights: those
        differ by rounding (``policy/sampler_gap``), which the sum over a completion's tokens makes large.
        """
        if not claims(self.algorithm, "needs_now"):
            return list(scored)
        groups, head = [s.group for s in scored], self.head()

        def attempt(planner: Planner) -> list[Tokens]:
            read = []
            for some in planner.packs(groups):
                with self.policy.see([groups[i].prompt for i in some]) as seen:
                    read += self.read(seen, [Whole(place, scored[i]) for place, i in enumerate(some)], head)
            return read

        with meter.phase("now"), torch.no_grad(), self.policy.whole():
            found = self.fitted(attempt, groups, self.least(groups), meter)
        return [replace(s, now=tokens) for s, tokens in zip(scored, found, strict=True)]

    def head(self) -> Tensor | None:
        """That of the reference, where a divergence over the whole vocabulary is wanted. All ranks must ask together."""
        return None if exact(self.algorithm) is None else self.reference.head()

    def read(self, seen: Any, part: Sequence[Any], head: Tensor | None) -> list[Tokens]:
        """What the policy says of some completions; with a head also how far that is from the reference, exactly."""
        if head is None or isinstance(part[0], Filler):
            return self.policy.read(seen, part)
        states = tuple(piece.scored.states for piece in part)
        return self.policy.read(seen, part, against=Against(states, head, exact(self.algorithm)))

    def least(self, groups: Sequence[Group]) -> int:
        """The tokens down to which groups that are not cut can still be parted from one another."""
        return min((self.planner.cost([group]) for group in groups), default=1)

    def least_cut(self, groups: Sequence[Group]) -> int:
        """The tokens down to which groups can be cut. Ranks that keep step cannot begin anew alone: theirs stay."""
        if self.planner.filler is not None:
            return self.planner.part_tokens
        return self.least([group.rows(slice(0, 1)) for group in groups])

    def fitted(
        self,
        attempt: Callable[[Planner], Result],
        groups: Sequence[Group],
        least: int,
        meter: Meter,
        undo: Callable[[], None] = lambda: None,
    ) -> Result:
        """What is made of the groups in parts of so many tokens as memory suffices for; they stay that small.

        ``least`` tokens make the parts that cannot be cut; ``undo`` takes back what a failed attempt left.
        """
        now = max(1, min(self.planner.part_tokens, self.planner.cost(groups)))

        def sized(part_tokens: int) -> Result:
            return attempt(replace(self.planner, part_tokens=part_tokens))

        found, part_tokens, halvings = fitted(sized, now, least, "part_tokens", undo)
        if halvings:
            self.planner = replace(self.planner, part_tokens=part_tokens)
            meter.total("work/halvings", halvings)
        return found
