"""The questions that a trainer asks of an algorithm. An algorithm is a frozen dataclass that answers them; no base class.

``Algorithm`` is what everyone answers. What only some need is asked of those that have it: ``claims`` (an attribute that is not
there is False), a memory (``Remembering``), a proposal (``Proposing``), a choice of groups (``Choosing``).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.types import Adaptive, Credit, Direction, Group, Memory, Scored, Tokens, Totals, Update

Source = Literal["policy", "demonstrations"]
Claim = Literal[
    "needs_now",  # ``scored.now``: what the policy says of the completions as an update finds it, one more pass for each
    "needs_q",  # ``logp_sampled`` as the distribution that was drawn from: nothing truncated may have been sampled
    "needs_base",  # ``scored.base``: what completions of the base model earned, from the file that ``prepared`` names
    "unread",  # the reference is never read, as its weight is 0, so that none is loaded
    "reuses",  # several updates may use the same completions, because credit or loss correct for it
]


@runtime_checkable
class Algorithm(Protocol):
    """Its fields are the paper's hyper-parameters, its methods the paper's equations."""

    source: ClassVar[Source]  # who writes the completions
    siblings: ClassVar[bool]  # whether the rest of the group is the baseline, so that a group of one is refused
    rewards: ClassVar[tuple[str, ...]]  # rewards that must exist by these names
    reference: Update | None

    def reads(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"] | None:
        """The tokens that the reference must read; None for none at all."""
        ...

    def credit(self, scored: Scored, totals: Totals) -> Credit:
        """What is each token worth to this update? A ``Remembering`` algorithm is also given its memory."""
        ...

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        """What does each token cost, before it is multiplied by its share? ``rows`` are whole completions."""
        ...

    def report(self, scored: Scored) -> Mapping[str, float]:
        """Numbers about a group that only this algorithm knows; averaged over groups in the metrics."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """An algorithm that knows something from earlier steps: a running Z, a multiplier, whether its proposal is stale.

    The credit of a step goes by the memory as it was before the step, so that what is remembered is independent of the samples
    that it is applied to. The memory is equal on all ranks and saved in checkpoints.
    """

    def start(self, base: Mapping[str, Mapping[str, Tensor]] | None) -> Memory:
        """The memory before the first step. ``base``: example id -> reward -> [n], where a file of it was given."""
        ...

    def credit(self, scored: Scored, totals: Totals, memory: Memory) -> Credit: ...

    def report(self, scored: Scored, memory: Memory) -> Mapping[str, float]: ...

    def notes(self, scored: Scored, memory: Memory) -> Mapping[str, Any]:
        """What there is to remember of a group, right after it was collected; small, it goes to all ranks."""
        ...

    def remember(self, memory: Memory, notes: Sequence[Mapping[str, Any]]) -> Memory:
        """The memory after a step. ``notes`` are of all groups of all ranks, in the order of ranks."""
        ...


@runtime_checkable
class Proposing(Protocol):
    """A ``Remembering`` algorithm whose completions are drawn from a proposal and not from the policy."""

    proposal: Adaptive | None  # None: the policy samples

    def adopt(self, memory: Memory) -> bool:
        """Whether the policy is closer to the target than the proposal, and so takes its place."""
        ...


@runtime_checkable
class Choosing(Protocol):
    """An algorithm that learns from some groups only, and has more drawn until there are enough of them."""

    draws: int  # the most batches drawn for a step; it is learnt from what there is then

    def useful(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> bool:
        """Whether a group is kept."""
        ...


def claims(algorithm: Algorithm, claim: Claim) -> bool:
    """Whether an algorithm has this need or ability; one that does not speak of it has not."""
    return bool(getattr(algorithm, claim, False))


def exact(algorithm: Algorithm) -> Direction | None:
    """The divergence that an algorithm wants over the whole vocabulary, in ``Tokens.divergence``; most want none."""
    return getattr(algorithm, "exact", None)
