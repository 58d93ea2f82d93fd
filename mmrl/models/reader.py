"""A Hugging Face video language model that encodes prompts once, and computes log-probs of their completions."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from mmrl.models.attention.prefix import Prefix, completion_states, prefix_cache
from mmrl.models.attention.shared import NAME
from mmrl.models.attention.unshared import copied_prefix_states
from mmrl.models.families import Family
from mmrl.models.fingerprint import Fingerprint
from mmrl.models.language import Language
from mmrl.models.logprobs import LogitRules
from mmrl.models.vision.patches import visions_of
from mmrl.models.vision.tower import CacheLevel, EncodedPrompts, Tower
from mmrl.runtime.sharding import full_parameters, gathered, shard
from mmrl.types import Prompt, ReferenceDistribution, RowSlice, Tokens


@dataclass(frozen=True, slots=True)
class SelectedTokens:
    """The tokens of one completion whose log-probs are computed."""

    row_slice: RowSlice
    row: int  # the completion's index in the slice's group
    positions: Int[Tensor, " m"]  # the indices of the selected tokens in the completion; at least one

    @property
    def tokens(self) -> Int[Tensor, " m"]:
        """The selected tokens."""
        return self.row_slice.group.tokens[self.row, self.positions]

    @property
    def inputs(self) -> Int[Tensor, " t"]:
        """The completion's tokens before the last selected one: the model needs these as input, and no more."""
        return self.row_slice.group.tokens[self.row, : int(self.positions[-1])]


class Reader(Language):
    """One set of weights: the language half and its vision tower. It has no knowledge of files, texts or algorithms."""

    def __init__(self, model: nn.Module, family: Family, rules: LogitRules, compute: torch.dtype | None = None):
        super().__init__(model, rules, compute)
        self.family = family
        self.tower = Tower(model, family, compute, self.work)
        self.weights = Fingerprint(model)

    @property
    def shares_prefix(self) -> bool:
        """True if a prompt's keys and values are computed once for all its completions."""
        return self.layers.config._attn_implementation.startswith(NAME)

    def shard(self, mesh: DeviceMesh, device: torch.device) -> None:
        """Shard the weights over the mesh, so that this rank stores its own part only."""
        shard(self.model, mesh, device, None if self.compute == self.dtype else self.compute)
        self.rules = replace(self.rules, allowed=self.rules.allowed.to(device))

    def full_parameters(self):
        """Return a context with full parameters on every rank; inside, forward passes need no communication."""
        return full_parameters(self.model)

    def encode_media(self, prompts: Sequence[Prompt]) -> None:
        """Encode the prompts' media with the frozen part of the tower, and store the results for all later calls.

        All ranks must call it, each with its own prompts. It does nothing if the tower's blocks train.
        """
        if self.tower.cache_level != CacheLevel.NOTHING:
            with gathered(self.model.model.visual):
                self.tower.encode_ahead(visions_of(prompts))

    def reuse_features(self) -> AbstractContextManager[None]:
        """Return a context in which the weights must not change; inside, a trainable tower encodes each prompt's media once."""
        return self.tower.reuse_features(again=False)

    @contextmanager
    def encode(self, prompts: Sequence[Prompt]) -> Iterator[Prefix | EncodedPrompts]:
        """Encode prompts and their media once for all log-probs and samples inside; one backward pass runs at exit."""
        with self.tower.encode_prompts(prompts) as encoded:
            if self.shares_prefix:
                with prefix_cache(self, encoded) as prefix:
                    yield prefix
            else:
                yield encoded

    def logprobs(
        self,
        encoded: Prefix | EncodedPrompts,
        row_slices: Sequence[RowSlice],
        where: Sequence[Bool[Tensor, "n t"]] | None = None,
        keep: bool = False,
        reference: ReferenceDistribution | None = None,
    ) -> list[Tokens]:
        """Compute log-probabilities and entropies ``[n t]`` of each slice's completions in one forward pass, in nats.

        ``where`` marks the tokens, by default the completion masks; values of other tokens are 0, and rows without marked
        tokens are not computed. The last token of a prompt predicts the first token of a completion. ``keep`` adds the
        hidden states that predict the tokens; ``reference`` adds the exact divergence from another model.
        """
        masks = [row_slice.group.completion_mask for row_slice in row_slices] if where is None else where
        selected = [
            SelectedTokens(row_slice, row, mask[row].nonzero().flatten())
            for row_slice, mask in zip(row_slices, masks, strict=True)
            for row in mask.any(dim=1).nonzero().flatten().tolist()
        ]
        if not selected:
            zeros = [mask.new_zeros(mask.shape, dtype=torch.float32) for mask in masks]
            return [Tokens(zero, zero, None if reference is None else zero) for zero in zeros]
        states = self.states(encoded, selected)
        tokens = torch.cat([row.tokens for row in selected]).to(self.device)
        reference_states = (
            None
            if reference is None
            else torch.cat([s[m] for s, m in zip(reference.hidden_states, masks, strict=True)])
        )
        return scatter(
            masks, [*self.token_values(states, tokens, reference_states, reference), states if keep else None]
        )

    def states(self, encoded: Prefix | EncodedPrompts, selected: Sequence[SelectedTokens]) -> Float[Tensor, "m d"]:
        """Compute the last hidden states that predict the selected tokens, row by row."""
        inputs = [(row.row_slice.index, row.inputs) for row in selected]
        if not isinstance(encoded, Prefix):
            rows = copied_prefix_states(self, encoded, inputs)
            return torch.cat([h[row.positions.to(h.device)] for h, row in zip(rows, selected, strict=True)])
        fed = [(index, tokens) for index, tokens in inputs if len(tokens)]
        # all ranks must call sharded layers, also a rank that selects first tokens only: it feeds an arbitrary token
        fed = fed or [(inputs[0][0], self.rules.allowed.nonzero()[0].cpu())]
        states = torch.cat([encoded.last, completion_states(self, encoded, fed)])
        return states[state_indices(selected, len(encoded.last)).to(states.device)]


def state_indices(selected: Sequence[SelectedTokens], prompts: int) -> Int[Tensor, " m"]:
    """Return the indices of the states that predict the selected tokens, in [last state of each prompt, states of all inputs].

    The last state of a prompt predicts the first token of a completion; each token's state predicts the next token.
    """
    start, out = prompts, []
    for row in selected:
        out.append(torch.where(row.positions == 0, row.row_slice.index, start + row.positions - 1))
        start += len(row.inputs)
    return torch.cat(out)


def scatter(masks: Sequence[Bool[Tensor, "n t"]], values: Sequence[Float[Tensor, "m ..."] | None]) -> list[Tokens]:
    """Scatter each kind of values to its tokens' positions, slice by slice; kinds that are None stay None."""
    sizes = [int(mask.sum()) for mask in masks]
    each = zip(*([None] * len(masks) if value is None else value.split(sizes) for value in values), strict=True)
    return [
        Tokens(*(None if v is None else fill_marked(v.to(mask.device), mask) for v in of_slice))
        for mask, of_slice in zip(masks, each, strict=True)
    ]


def fill_marked(values: Float[Tensor, "m ..."], where: Bool[Tensor, "n t"]) -> Float[Tensor, "n t ..."]:
    """Return a tensor with the values at the marked tokens, and 0 elsewhere."""
    out = values.new_zeros(*where.shape, *values.shape[1:])
    out[where] = values
    return out
