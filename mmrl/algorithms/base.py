"""The interface between a method and the trainer: what the method needs, and the calls that the trainer makes in each step.

A method is a frozen dataclass that inherits from ``Algorithm``. The trainer calls only this interface, so that it knows no
method by name, and a method knows neither models nor files.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, TypeVar, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.functional import policy_gradient
from mmrl.functional.shapes import check_shape
from mmrl.types import (
    EMA,
    AdaptiveProposal,
    Direction,
    Frozen,
    Group,
    LossNormalisers,
    ReferenceUpdate,
    Scored,
    Tokens,
    TokenWeights,
)

Value = TypeVar("Value")
Clipped = tuple[Bool[Tensor, "n t"], Bool[Tensor, "n t"]]  # tokens whose ratio is clipped from below, and from above


class State(ABC):
    """The state of a method between steps. It is equal on all ranks, and checkpoints hold its tensors."""

    @abstractmethod
    def to_tensors(self) -> dict[str, Tensor]:
        """Return the state as named tensors, for a checkpoint."""

    @classmethod
    @abstractmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "State":
        """Return the state that ``to_tensors`` wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The needs of a method from sampler, reference and config.

    The defaults fit a group-relative method without a reference.
    """

    source: Literal["policy", "demonstrations"] = "policy"  # who writes the completions
    rewards: tuple[str, ...] = ()  # rewards that must exist by these names
    group_baseline: bool = True  # the other completions are the baseline, so that a group of one is refused
    # how the reference moves; None: none is loaded, and ``scored.ref_logprobs`` is None
    reference: ReferenceUpdate | None = None
    full_vocabulary_kl: Direction | None = None  # a divergence summed over the vocabulary, in ``Tokens.divergence``
    # ``scored.old_policy``: the policy's log-probabilities before each update, without gradient
    old_logprobs: bool = False
    sampling_logprobs: bool = False  # ``group.sampling_logprobs`` must be exact, so that top_p below 1 is refused
    # ``scored.base_rewards``: rewards of the base model, from the file that the config names
    base_rewards: bool = False
    off_policy: bool = False  # True if advantages or loss correct for completions of an older policy
    off_policy_setting: str = ""  # the setting that makes it True, for the error message: "epsilon, for example 0.2"
    # the most batches that a step draws until ``keep_group`` accepts enough groups; None: one
    max_gen_batches: int | None = None
    min_new_tokens: int = 0  # the lowest allowed rollout.decoding.max_new_tokens
    state: type[State] | None = None  # the class of the state; None: the method has none
    # a copy of the policy samples; the policy replaces it when ``sync_proposal`` is True
    proposal: AdaptiveProposal | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a need that is of another type, or that lacks another need."""
        for name, expected, valid in self.expectations():
            if not valid:
                raise ValueError(f"needs.{name}: expected {expected}, found {getattr(self, name)!r}")

    def expectations(self) -> Iterator[tuple[str, str, bool]]:
        """Yield the name of each need, what is expected of it, and True if it is so."""
        names = isinstance(self.rewards, tuple) and all(isinstance(name, str) for name in self.rewards)
        is_state = isinstance(self.state, type) and issubclass(self.state, State)
        yield "source", "'policy' or 'demonstrations'", self.source in ("policy", "demonstrations")
        yield "rewards", "a tuple of names, such as ('accuracy',)", names
        yield "reference", "Frozen(), EMA(...) or None", isinstance(self.reference, Frozen | EMA | None)
        directions = (None, *get_args(Direction))
        yield "full_vocabulary_kl", f"one of {directions}", self.full_vocabulary_kl in directions
        lacks_reference = self.full_vocabulary_kl is not None and self.reference is None
        yield "reference", "one, as full_vocabulary_kl is given", not lacks_reference
        yield "max_gen_batches", "1 or more, or None", self.max_gen_batches is None or self.max_gen_batches >= 1
        yield "state", "a class that inherits from mmrl.State, or None", self.state is None or is_state
        yield "proposal", "AdaptiveProposal(...) or None", isinstance(self.proposal, AdaptiveProposal | None)
        yield "state", "one, as the trainer asks sync_proposal of it", not (self.proposal and self.state is None)


@dataclass(frozen=True, kw_only=True)
class Algorithm(ABC):
    """A method: its fields are the paper's hyper-parameters (and the keys of its YAML), its methods the paper's equations.

    A group-relative method has to define ``loss`` alone. Everything else has a default. The trainer calls:

        once, before the first step     init_state
        in each step, of each group     keep_group         if ``needs.max_gen_batches`` is given
                                        reference_mask     the tokens that the reference scores
                                        metrics            numbers for the log
                                        observe, update_state, sync_proposal    if ``needs.state`` is given
        in each update                  token_weights      from advantages, token_advantages and kl_weights
        in each forward pass            loss, clipped      for rows that may be part of a group

    ``state`` is the value that ``init_state`` or ``update_state`` returned; it is None for a method without one. Advantages use the
    state from before the step, so that the state is independent of the samples that it is applied to.

    >>> @dataclass(frozen=True, kw_only=True)
    ... class Reinforce(Algorithm):
    ...     def loss(self, policy, weights, rows):
    ...         return -weights.advantage * policy.logprobs
    """

    name: str = ""  # the name by which a config chooses the method
    needs: ClassVar[Needs] = Needs()  # a property if it depends on the settings
    loss_agg_mode: ClassVar[policy_gradient.LossAggMode] = "seq-mean-token-mean"  # see ``policy_gradient.loss_weights``
    loss_scale_factor: ClassVar[float] = 1.0  # divides the loss of seq-mean-token-sum-norm

    def init_state(self, base: Mapping[str, Mapping[str, Tensor]] | None) -> Any:
        """Return the state before the first step. ``base``: example id -> reward -> [n], the base model's rewards."""
        return None

    def keep_group(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> bool:
        """Return True if the step learns from the group; the collector draws another group in place of one that it drops."""
        return True

    def reference_mask(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"] | None:
        """Return a mask of the tokens whose log-probability the reference computes; None for no token at all."""
        return None if self.needs.reference is None else group.completion_mask

    def metrics(self, scored: Scored, state: Any = None) -> Mapping[str, float]:
        """Return the method's own metrics of a group, by name; the log holds their mean over groups."""
        return {}

    def base_metrics(self, earned: Mapping[str, Float[Tensor, " n"]]) -> Mapping[str, float]:
        """Return numbers about the base model's rewards on an example, for the table that ``mmrl prepare`` writes."""
        return {}

    def observe(self, scored: Scored, state: Any) -> Any:
        """Return the facts about a group that ``update_state`` needs.

        They are small, because all ranks exchange them.
        """
        return None

    def update_state(self, state: Any, observations: Sequence[Any]) -> Any:
        """Return the state after a step. ``observations``: of all groups of all ranks, in the order of ranks."""
        return state

    def sync_proposal(self, state: Any) -> bool:
        """Return True if the policy replaces the proposal. The trainer asks after every ``needs.proposal.every``-th step."""
        return False

    def advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, " g"]:
        """Return the advantage of each completion; by default its reward, standardised over the group."""
        return policy_gradient.standardised(scored.total)

    def token_advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, "g t"]:
        """Return the advantage of each token; by default that of its completion."""
        advantages = self.advantages(scored, state)
        check_shape(advantages, (len(scored.group),), "g", f"{type(self).__name__}.advantages")
        return policy_gradient.per_token(advantages.to(scored.total.dtype), scored.group.completion_mask)

    def kl_weights(self, scored: Scored) -> Float[Tensor, "g t"]:
        """Return the KL coefficient of each token: the weight of its KL to the reference in the loss.

        The update leaves out a group whose advantages and KL weights are all 0.
        """
        return torch.zeros_like(scored.group.completion_mask, dtype=scored.total.dtype)

    def token_weights(self, scored: Scored, normalisers: LossNormalisers, state: Any = None) -> TokenWeights:
        """Return the advantage, the KL weight and the loss weight of each token."""
        advantage, kl_weight = self.token_advantages(scored, state), self.kl_weights(scored)
        mask, method = scored.group.completion_mask, type(self).__name__
        check_shape(advantage, mask.shape, "g t", f"{method}.token_advantages")
        check_shape(kl_weight, mask.shape, "g t", f"{method}.kl_weights")
        how = (self.loss_agg_mode, advantage.dtype, self.loss_scale_factor)
        return TokenWeights(advantage, kl_weight, policy_gradient.loss_weights(mask, normalisers, *how))

    @abstractmethod
    def loss(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Float[Tensor, "n t"]:
        """Return the loss of each token, before it is multiplied by its loss weight.

        ``policy`` holds the log-probabilities that carry the gradient; ``rows`` are whole completions of one group.
        """

    def clipped(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Clipped | None:
        """Return masks of the tokens whose ratio the loss clips, from below and from above; None if the loss clips nothing."""
        return None


def check_round_trip(state: State) -> None:
    """Raise ValueError unless the tensors of a state give a state of its class again, as checkpoints and resumed runs need it."""
    tensors, kind = state.to_tensors(), type(state)
    if not isinstance(tensors, Mapping):
        raise ValueError(f"{kind.__name__}.to_tensors: expected tensors by name, found {type(tensors).__name__}")
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            found = type(value).__name__
            raise ValueError(
                f"{kind.__name__}.to_tensors: {name}: expected a tensor, found {found}; write torch.tensor(...)"
            )
    again = kind.from_tensors(tensors)
    if not isinstance(again, kind):
        raise ValueError(f"{kind.__name__}.from_tensors: expected a {kind.__name__}, found {type(again).__name__}")


def problems_of(algorithm: Algorithm) -> Iterator[str]:
    """Yield what is wrong with the needs and the loss aggregation that a user's class states."""
    needs, modes = algorithm.needs, get_args(policy_gradient.LossAggMode)
    if not isinstance(needs, Needs):
        advice = "; write @property above def needs(self)" if callable(needs) else ""
        yield f"algorithm {algorithm.name}: needs: expected an object of mmrl.Needs, found {type(needs).__name__}{advice}"
    if "needs" in (each.name for each in fields(algorithm)):
        yield f"algorithm {algorithm.name}: needs: expected no key of the YAML, found a field; write needs = Needs(...), without a type"
    if algorithm.loss_agg_mode not in modes:
        mode = algorithm.loss_agg_mode
        yield f"algorithm {algorithm.name}: loss_agg_mode: expected one of {', '.join(modes)}, found {mode!r}"


def known(value: Value | None, need: str) -> Value:
    """Return a value that ``need`` provides.

    Raises ValueError if it is None, because the method does not declare the need.
    """
    if value is None:
        raise ValueError(
            f"algorithm.needs: expected {need}, because the method uses what it provides; found none. Declare it in needs"
        )
    return value


def sampling_logprobs(rows: Scored, key: str) -> Float[Tensor, "n t"]:
    """Return the sampler's log-probabilities. Raises ValueError, which names the setting ``key``, if there are none."""
    if rows.group.sampling_logprobs is None:
        raise ValueError(f"{key}: needs the log-probabilities of the sampler, and these completions have none")
    return rows.group.sampling_logprobs


def check_penalty(beta: float, reference: ReferenceUpdate | None) -> None:
    """Raise ValueError for a negative KL weight, and for a KL without a reference."""
    if beta < 0:
        raise ValueError(f"algorithm.beta: expected 0 or more, found {beta}")
    if beta > 0 and reference is None:
        raise ValueError(f"algorithm.reference: expected one, as beta is {beta}; found none. Set it, or beta: 0")


def check_epsilon(epsilon: float | None) -> None:
    """Raise ValueError for a clip range outside (0, 1)."""
    if epsilon is not None and not 0 < epsilon < 1:
        raise ValueError(f"algorithm.epsilon: expected a number in (0, 1) or none, found {epsilon}")


def check_loss_scale_factor(factor: float) -> None:
    """Raise ValueError for a factor of 0 or less."""
    if not factor > 0:
        raise ValueError(f"algorithm.loss_scale_factor: expected a number of tokens above 0, found {factor}")


def check_positive(**settings: float | None) -> None:
    """Raise ValueError for settings of 0 or less; None means no limit."""
    for name, value in settings.items():
        if value is not None and not value > 0:
            raise ValueError(f"algorithm.{name}: expected a number above 0, found {value}")
