"""The joint between a method and the trainer: what the method needs, and what it is asked in each step.

A method is a frozen dataclass that inherits from ``Algorithm``. The trainer calls only what stands here, so that it knows no
method by name, and a method knows neither models nor files.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.functional import policy_gradient
from mmrl.types import AdaptiveProposal, Credit, Direction, Group, Scored, Tokens, Totals, ReferenceUpdate

Value = TypeVar("Value")


class State(ABC):
    """State that a method keeps between steps. It is equal on all ranks, and checkpoints hold its tensors."""

    @abstractmethod
    def to_tensors(self) -> dict[str, Tensor]:
        """The state as named tensors, for a checkpoint."""

    @classmethod
    @abstractmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "State":
        """The state that ``to_tensors`` wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """A record of what a method asks of sampler, reference and config. The defaults fit a group-relative method without a reference."""

    source: Literal["policy", "demonstrations"] = "policy"  # who writes the completions
    rewards: tuple[str, ...] = ()  # rewards that must exist by these names
    group_baseline: bool = True  # siblings are the baseline, so that a group of one is refused
    reference: ReferenceUpdate | None = None  # how the reference moves; None: none is loaded, and ``scored.reference`` is None
    full_vocabulary_kl: Direction | None = None  # a divergence summed over the vocabulary, in ``Tokens.divergence``
    old_logprobs: bool = False  # ``scored.now``: the policy reads the completions before each update, without gradient
    sampling_logprobs: bool = False  # ``logp_sampled`` must be exact, so that top_p below 1 is refused
    base_rewards: bool = False  # ``scored.base``: rewards of the base model, from the file that ``prepared`` names
    off_policy: bool = False  # several updates may use the same completions, because credit or loss correct for it
    off_policy_setting: str = ""  # a setting that would make it so, for the error message: "clip, for example 0.2"
    max_gen_batches: int | None = None  # the most batches of a step, until enough groups are ``useful``; None: one, all used
    max_new_tokens: int | None = None  # what rollout.decoding.max_new_tokens must be, where ``limit`` names it
    state: type[State] | None = None  # the class of what is kept between steps
    proposal: AdaptiveProposal | None = None  # a copy of the policy samples, and is replaced when ``adopt`` says so


@dataclass(frozen=True, kw_only=True)
class Algorithm(ABC):
    """A method: its fields are the paper's hyper-parameters (and the keys of its YAML), its methods the paper's equations.

    A group-relative method has to define ``loss`` alone. Everything else has a default, and is asked in this order:

        once, before the first step     start
        in each step, of each group     useful     where ``needs.draws`` is given: is the group kept?
                                        reads      which tokens the reference reads
                                        report     numbers for the metrics
                                        notes, remember, adopt       where ``needs.memory`` is given
        in each update                  credit       advantages: one number a completion; worth and pull: one a token
        in each forward pass            loss       of rows that may be part of a group

    ``memory`` is what ``start`` or ``remember`` returned, None for a method without one. Credit goes by the memory from before
    the step, so that what is remembered is independent of the samples that it is applied to.

    >>> @dataclass(frozen=True, kw_only=True)
    ... class Reinforce(Algorithm):
    ...     def loss(self, now, credit, rows):
    ...         return -credit.worth * now.logp
    """

    name: str = ""  # that a config chooses it by
    needs: ClassVar[Needs] = Needs()  # a property where it depends on the settings
    loss_agg_mode: ClassVar[policy_gradient.LossAggMode] = "sequence"  # how tokens are averaged: see ``policy_gradient.shares``
    loss_scale_factor: ClassVar[float] = 1.0  # what a completion counts as where reduce is constant

    def start(self, base: Mapping[str, Mapping[str, Tensor]] | None) -> Any:
        """The memory before the first step. ``base``: example id -> reward -> [n], what the base model earned; None without."""
        return None

    def useful(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> bool:
        """True where a group is learned from; others are drawn in the place of those that are not."""
        return True

    def reads(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"] | None:
        """The tokens whose log-probability the reference must give; None for none at all."""
        return None if self.needs.reference is None else group.completion_mask

    def report(self, scored: Scored, memory: Any = None) -> Mapping[str, float]:
        """Numbers about a group that only this method knows; the metrics hold their average over groups."""
        return {}

    def report_base(self, earned: Mapping[str, Float[Tensor, " n"]]) -> Mapping[str, float]:
        """Numbers about what the base model earned on an example, for the table that ``mmrl prepare`` writes."""
        return {}

    def notes(self, scored: Scored, memory: Any) -> Any:
        """A note of what to remember of a group; small, as all ranks exchange it."""
        return None

    def remember(self, memory: Any, notes: Sequence[Any]) -> Any:
        """The memory after a step. ``notes`` are of all groups of all ranks, in the order of ranks."""
        return memory

    def adopt(self, memory: Any) -> bool:
        """True where the policy replaces the proposal; asked after steps ``every``, 2 ``every``, ... of ``needs.proposal``."""
        return False

    def advantages(self, scored: Scored, memory: Any = None) -> Float[Tensor, " g"]:
        """One number a completion: how much better than its siblings it is."""
        return policy_gradient.standardised(scored.total)

    def worth(self, scored: Scored, memory: Any = None) -> Float[Tensor, "g t"]:
        """The factor of each token's score: the advantage of its completion."""
        advantages = self.advantages(scored, memory).to(scored.total.dtype)
        return policy_gradient.per_token(advantages, scored.group.completion_mask)

    def pull(self, scored: Scored) -> Float[Tensor, "g t"]:
        """The factor of each token's divergence from the reference in the loss."""
        return torch.zeros_like(scored.group.completion_mask, dtype=scored.total.dtype)

    def credit(self, scored: Scored, totals: Totals, memory: Any = None) -> Credit:
        """Worth and pull of each token, and its share in the loss."""
        worth = self.worth(scored, memory)
        share = policy_gradient.loss_weights(scored.group.completion_mask, totals, self.loss_agg_mode, worth.dtype, self.loss_scale_factor)
        return Credit(worth, self.pull(scored), share)

    @abstractmethod
    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        """The loss of each token before its share. ``now`` carries the gradient; ``rows`` are whole completions."""


def known(value: Value | None, need: str) -> Value:
    """A value that ``need`` promises. Raises ValueError where the method does not declare it, so that nobody made it."""
    if value is None:
        raise ValueError(
            f"algorithm.needs: expected {need}, as the method reads what it provides; found none; declare it in needs"
        )
    return value


def sampler_logp(rows: Scored, key: str) -> Float[Tensor, "n t"]:
    """Log-probabilities by the policy that sampled. Raises ValueError, naming the setting, where nobody kept them."""
    if rows.group.logp_sampled is None:
        raise ValueError(f"{key}: needs the log-probabilities of the sampler, and these completions have none")
    return rows.group.logp_sampled


def check_penalty(beta: float, reference: ReferenceUpdate | None) -> None:
    """Refuse a negative weight of a divergence, and a divergence from no reference."""
    if beta < 0:
        raise ValueError(f"algorithm.beta: expected 0 or more, found {beta}")
    if beta > 0 and reference is None:
        raise ValueError(f"algorithm.reference: expected one, as beta is {beta}; found none. Set it, or beta: 0")


def check_epsilon(clip: float | None) -> None:
    """Refuse a bound of a ratio outside (0, 1)."""
    if clip is not None and not 0 < clip < 1:
        raise ValueError(f"algorithm.clip: expected a number in (0, 1) or none, found {clip}")


def check_loss_scale_factor(length: float) -> None:
    """Refuse a number of tokens that nothing can be divided by."""
    if not length > 0:
        raise ValueError(f"algorithm.length: expected a number of tokens above 0, found {length}")


def check_positive(**settings: float | None) -> None:
    """Refuse settings of 0 or less; None stands for no bound."""
    for name, value in settings.items():
        if value is not None and not value > 0:
            raise ValueError(f"algorithm.{name}: expected a number above 0, found {value}")
