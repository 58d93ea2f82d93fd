"""The questions that a trainer asks of an algorithm. An algorithm is a frozen dataclass that answers them; no base class."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.types import Credit, Group, Scored, Tokens, Totals, Update

Source = Literal["policy", "demonstrations"]


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
        """What is each token worth to this update?"""
        ...

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        """What does each token cost, before it is multiplied by its share?"""
        ...

    def report(self, scored: Scored) -> Mapping[str, float]:
        """Numbers about a group that only this algorithm knows; averaged over groups in the metrics."""
        ...
