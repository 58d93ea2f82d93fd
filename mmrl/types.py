"""The types that flow through mmrl, in the order in which they flow.

One legend of axes for the whole project: ``g`` completions of a group, ``t`` completion tokens, ``p`` prompt tokens, ``n`` rows
of a micro-batch, ``f`` frames, ``d`` hidden size, ``c h w`` channels, height, width. Log-probabilities are natural, at least
float32, and 0 off the mask; they are over the *allowed* tokens at the sampling temperature, in rollout and in training alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from jaxtyping import Bool, Float, Int
from pydantic import Discriminator

if TYPE_CHECKING:
    from torch import Tensor
else:
    try:
        from torch import Tensor
    except ImportError:  # evaluations are scored and compared without torch, too
        Tensor = Any

Direction = Literal["kl_policy_reference", "kl_reference_policy"]  # KL by the order of its arguments
Kind = Literal["choice", "numerical", "regression", "ocr", "free"]  # how an answer is graded
KINDS: tuple[Kind, ...] = ("choice", "numerical", "regression", "ocr", "free")
Part = TypeVar("Part", bound="ByRows")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a video, from ``start`` to ``end``; both ends belong to it."""

    start: float
    end: float
    unit: Literal["seconds", "frames"] = "seconds"  # from the file's first frame on

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"span: expected 0 <= start <= end, found {self.start} to {self.end} {self.unit}")


@dataclass(frozen=True, slots=True)
class Media:
    """A file that a question refers to."""

    kind: Literal["video", "image"]
    path: Path
    span: Span | None = None  # the part of a video that the model sees; None: all of it


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat; its parts are in the order in which the model reads them."""

    role: Literal["system", "user", "assistant"]
    content: tuple[str | Media, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A question as its file states it. It holds no tensors."""

    id: str
    question: str
    answer: str | None = None  # the right answer; the letter for kind "choice"
    kind: Kind = "choice"
    choices: tuple[str, ...] = ()  # option texts without letters, in the order in which they are shown
    media: tuple[Media, ...] = ()  # in the order in which the prompt shows them
    messages: tuple[Message, ...] = ()  # a chat given ready-made; replaces the template
    demonstration: str | None = None  # a given completion, from which sft learns
    cluster: str = ""  # items with one label share media or text and so are not independent; "": on its own
    fields: Mapping[str, Any] = field(default_factory=dict)  # the row as read, for graders

    @property
    def every_media(self) -> tuple[Media, ...]:
        """Return the media of the question, or of its ready-made chat."""
        chat = tuple(part for message in self.messages for part in message.content if isinstance(part, Media))
        return chat if self.messages else self.media


@dataclass(frozen=True, slots=True)
class Prompt:
    """An example as tokens, positions and pixels for one model."""

    example: Example
    tokens: Int[Tensor, " p"]
    positions: Int[Tensor, "3 p"]  # temporal, height, width; text has three equal ones
    vision: Any = None  # pixels and grids; opaque outside models

    @property
    def next_position(self) -> int:
        """Return the position of the first completion token: the largest position + 1, as in the model's own code."""
        return int(self.positions.max()) + 1


@dataclass(frozen=True, slots=True)
class ByRows:
    """A record whose fields have a row for each completion, except those named in ``not_by_rows``."""

    not_by_rows: ClassVar[tuple[str, ...]] = ()

    def rows(self: Part, part: slice) -> Part:
        """Return the same record with only a part of its completions."""
        cut = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in self.not_by_rows}
        return replace(self, **{name: part_of(value, part) for name, value in cut.items()})


def part_of(value: Any, part: slice) -> Any:
    """Return rows of a tensor, of a tuple, of a record, or of each tensor in a mapping; None stays None."""
    if isinstance(value, Mapping):
        return {name: each[part] for name, each in value.items()}
    if isinstance(value, ByRows):
        return value.rows(part)
    return None if value is None else value[part]


@dataclass(frozen=True, slots=True)
class Group(ByRows):
    """A prompt and its g completions. A part of a group is a group."""

    not_by_rows = ("prompt", "max_new_tokens")

    prompt: Prompt
    tokens: Int[Tensor, "g t"]  # padded at the right with any token
    completion_mask: Bool[Tensor, "g t"]  # True on the completion's tokens, its end-of-turn token included
    answer_mask: Bool[Tensor, "g t"]  # True on the tokens of the graded answer; all False if there is none
    texts: tuple[str, ...]
    finished: Bool[Tensor, " g"]  # ended by itself, not by the token limit
    sampling_logprobs: Float[Tensor, "g t"] | None = None  # under the policy that sampled; None for demonstrations
    max_new_tokens: int | None = None  # the sampler's limit of tokens; None for demonstrations

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Tokens(ByRows):
    """The log-probability and the entropy of each token of n completions under one model."""

    logprobs: Float[Tensor, "n t"]
    entropy: Float[Tensor, "n t"]  # in nats, of the distribution that the token was drawn from; carries no gradient
    divergence: Float[Tensor, "n t"] | None = None  # exact KL to the reference; None unless asked for
    # last hidden states, from which the token is predicted; None unless asked for
    hidden_states: Float[Tensor, "n t d"] | None = None


@dataclass(frozen=True, slots=True)
class ReferenceDistribution:
    """The reference distribution of a full-vocabulary KL: its hidden states and its output head."""

    hidden_states: tuple[Float[Tensor, "_ _ d"], ...]  # of the reference, one tensor for each row slice
    head: Float[Tensor, "v d"]  # of the reference
    direction: Direction


@dataclass(frozen=True, slots=True)
class Scored(ByRows):
    """A group with its rewards and the log-probabilities that the algorithm needs before the policy learns from it."""

    not_by_rows = ("base_rewards",)
    group: Group
    rewards: Mapping[str, Float[Tensor, " g"]]  # by name, unweighted
    total: Float[Tensor, " g"]  # their weighted sum
    ref_logprobs: Float[Tensor, "g t"] | None = None  # log-probabilities under the reference; 0 outside ref_mask
    ref_mask: Bool[Tensor, "g t"] | None = None  # True on the tokens whose log-probability the reference computed
    # last hidden states of the reference, for a full-vocabulary KL
    ref_hidden_states: Float[Tensor, "g t d"] | None = None
    old_policy: Tokens | None = None  # of the policy before the update, without gradient; None unless needed
    base_rewards: Mapping[str, Float[Tensor, " n"]] | None = None  # rewards of n completions of the base model, by name


@dataclass(frozen=True, slots=True)
class LossNormalisers:
    """The counts that divide the loss of one update, over all its groups on all ranks, before any split into micro-batches."""

    groups: int
    sequences: int
    tokens: int


@dataclass(frozen=True, slots=True)
class TokenWeights(ByRows):
    """The weights of the tokens of a group in one update: sum_gt loss_weight_gt (kl_weight_gt KL_gt - advantage_gt ratio_gt)."""

    advantage: Float[Tensor, "g t"]  # multiplies the policy-gradient term
    kl_weight: Float[Tensor, "g t"]  # the KL coefficient: multiplies the KL to the reference
    loss_weight: Float[Tensor, "g t"]  # multiplies the token's loss; its divisor counts all ranks; 0 off the mask

    @property
    def without_signal(self) -> bool:
        """Return True if no token of the group changes the policy."""
        return not bool(((self.advantage != 0) | (self.kl_weight != 0)).logical_and(self.loss_weight != 0).any())


@dataclass(frozen=True, slots=True)
class RowSlice:
    """Rows of one group in one forward pass. ``index`` is the place of the group's prompt among the encoded prompts."""

    index: int
    group: Group  # these rows alone: a part of a group is a group
    scored: Scored | None = None  # the same rows with their rewards
    weights: TokenWeights | None = None  # the weights of the same rows, if the policy learns from them
    dummy: bool = False  # no loss: the forward pass runs so that this rank calls every sharded layer with the others

    @property
    def learned(self) -> tuple[Scored, TokenWeights]:
        """Return the scores and the weights that the policy learns from.

        Raises ValueError if the rows have no weights.
        """
        if self.scored is None or self.weights is None:
            raise ValueError(f"rows of {self.group.prompt.example.id}: expected weights to learn from, found none")
        return self.scored, self.weights


@dataclass(frozen=True, slots=True)
class Frozen:
    """A reference that keeps the weights that the policy had at the start."""

    name: Literal["frozen"] = field(default="frozen", kw_only=True)


@dataclass(frozen=True, slots=True)
class EMA:
    """A reference that follows the policy: phi <- decay phi + (1 - decay) theta after optimizer steps every, 2 every, ...

    ``dtype`` is the type of the average. The released code of GRPO-CARE uses bfloat16; there the average hardly moves, because
    its steps are smaller than bfloat16's spacing. The option exists to compare frozen, float32 and bfloat16 references.
    """

    name: Literal["ema"] = field(default="ema", kw_only=True)
    decay: float = 0.995
    """The share of the average that stays at each update, in [0, 1)."""
    every: int = 10
    """Optimizer steps between two updates of the average."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """The type in which the average is kept."""

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(
                f"reference.decay: expected a number in [0, 1), found {self.decay}; 1 is a frozen reference"
            )
        if self.every < 1:
            raise ValueError(f"reference.every: expected 1 or more optimizer steps, found {self.every}")


ReferenceUpdate = Annotated[Frozen | EMA, Discriminator("name")]  # how a reference moves; a config chooses it by name


@dataclass(frozen=True, slots=True)
class AdaptiveProposal:
    """A copy of the policy that samples in its place; the policy replaces it when the policy is closer to the target.

    The two are compared after steps every, 2 every, ... Source: Khalifa, Elsahar, Dymetman 2021 (2012.11635) algorithm 1.
    """

    every: int = 10
    """Steps between two comparisons of policy and proposal."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"proposal.every: expected 1 or more steps, found {self.every}")


@dataclass(frozen=True, slots=True)
class Decoding:
    """The settings of sampling, in full: mmrl never uses a model's own generation defaults."""

    temperature: float = 1.0
    """Divides the logits; 0 takes the most likely token."""
    top_p: float = 1.0
    """The probability mass that is sampled from; below 1 the recorded log-probabilities are not the sampler's."""
    max_new_tokens: int = 768
    """The most tokens of a completion."""

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"decoding.temperature: expected 0 or more, found {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"decoding.top_p: expected a number in (0, 1], found {self.top_p}")
        if self.temperature == 0 and self.top_p < 1:
            raise ValueError(
                f"decoding.top_p: expected 1 at temperature 0, where the most likely token is taken; found {self.top_p}"
            )
        if self.max_new_tokens < 1:
            raise ValueError(f"decoding.max_new_tokens: expected 1 or more, found {self.max_new_tokens}")

    @property
    def logit_temperature(self) -> float:
        """Return the number that divides the logits, in sampling and in training; 1 at temperature 0."""
        return self.temperature or 1.0


def letter_at(index: int) -> str:
    """Return the letter that names the option at an index: A, B, C ..."""
    return chr(ord("A") + index)


def index_of(letter: str) -> int:
    """Return the index of the option that a letter names; for any other character an index that no option has."""
    return ord(letter) - ord("A")


def letters_of(choices: Sequence[str]) -> str:
    """Return the letters that name the options, in order; there are at most 26."""
    return ascii_uppercase[: len(choices)]
