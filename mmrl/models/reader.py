"""A Hugging Face video language model as three operations: see prompts once, read their completions, decode new ones."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from mmrl.models.attention.prefix import Prefix, answers, prefix_cache
from mmrl.models.attention.shared import NAME
from mmrl.models.attention.unshared import whole_rows
from mmrl.models.families import Family
from mmrl.models.fingerprint import Fingerprint
from mmrl.models.language import Language
from mmrl.models.logprobs import LogitRules
from mmrl.models.vision.patches import visions_of
from mmrl.models.vision.tower import CacheLevel, EncodedPrompts, Tower
from mmrl.runtime.sharding import full_parameters, gathered, shard
from mmrl.types import Prompt, ReferenceDistribution, RowSlice, Tokens


@dataclass(frozen=True, slots=True)
class Wanted:
    """A completion of which some tokens are read."""

    row_slice: RowSlice
    row: int  # of the piece's group
    positions: Int[Tensor, " m"]  # of the tokens to read, in the completion; at least one

    @property
    def tokens(self) -> Int[Tensor, " m"]:
        """Gives the tokens to read."""
        return self.row_slice.group.tokens[self.row, self.positions]

    @property
    def inputs(self) -> Int[Tensor, " t"]:
        """Gives the completion's tokens before the last one to read: the model must be fed these, and no more."""
        return self.row_slice.group.tokens[self.row, : int(self.positions[-1])]


class Reader(Language):
    """Holds one set of weights: the language half and, before it, the tower. It knows nothing of files, texts or algorithms."""

    def __init__(self, model: nn.Module, family: Family, rules: LogitRules, compute: torch.dtype | None = None):
        super().__init__(model, rules, compute)
        self.family = family
        self.tower = Tower(model, family, compute, self.work)
        self.weights = Fingerprint(model)

    @property
    def shares_prefix(self) -> bool:
        """True if a prompt's keys and values are computed once for all of its completions."""
        return self.layers.config._attn_implementation.startswith(NAME)

    def shard(self, mesh: DeviceMesh, device: torch.device) -> None:
        """Keeps only this rank's part of the weights."""
        shard(self.model, mesh, device, None if self.compute == self.dtype else self.compute)
        self.rules = replace(self.rules, allowed=self.rules.allowed.to(device))

    def full_parameters(self):
        """Makes the weights complete on every rank: inside, ranks read without waiting for one another."""
        return full_parameters(self.model)

    def encode_media(self, prompts: Sequence[Prompt]) -> None:
        """Encodes the prompts' media as far as a frozen tower allows, and keeps the results for all later calls.

        All ranks must call it, each with prompts of its own. It does nothing if the tower's blocks train.
        """
        if self.tower.cache_level != CacheLevel.NOTHING:
            with gathered(self.model.model.visual):
                self.tower.encode_ahead(visions_of(prompts))

    def reuse_features(self) -> AbstractContextManager[None]:
        """Promises that nobody writes to the weights inside: a tower that trains then encodes each prompt's media once."""
        return self.tower.reuse_features(again=False)

    @contextmanager
    def encode(self, prompts: Sequence[Prompt]) -> Iterator[Prefix | EncodedPrompts]:
        """Encodes prompts and their media once for all that is read or sampled inside; one backward pass runs at exit."""
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
        """Reads completions in one forward pass; gives log-probabilities and entropies ``[n t]`` for each piece.

        ``where`` marks the tokens to read, by default those of the masks; rows without any are left out of the pass, and
        values of other tokens are 0. The first token of a completion is predicted at the last place of its prompt. ``keep``
        adds the states that the tokens are predicted from, ``against`` the exact divergence from another model.
        """
        masks = [row_slice.group.completion_mask for row_slice in row_slices] if where is None else where
        wanted = [
            Wanted(row_slice, row, mask[row].nonzero().flatten())
            for row_slice, mask in zip(row_slices, masks, strict=True)
            for row in mask.any(dim=1).nonzero().flatten().tolist()
        ]
        if not wanted:
            zeros = [mask.new_zeros(mask.shape, dtype=torch.float32) for mask in masks]
            return [Tokens(zero, zero, None if reference is None else zero) for zero in zeros]
        states = self.states(encoded, wanted)
        tokens = torch.cat([row.tokens for row in wanted]).to(self.device)
        theirs = (
            None
            if reference is None
            else torch.cat([s[m] for s, m in zip(reference.hidden_states, masks, strict=True)])
        )
        return scatter(masks, [*self.token_values(states, tokens, theirs, reference), states if keep else None])

    def states(self, encoded: Prefix | EncodedPrompts, wanted: Sequence[Wanted]) -> Float[Tensor, "m d"]:
        """Computes the last hidden states from which the wanted tokens are predicted, row by row."""
        inputs = [(row.row_slice.index, row.inputs) for row in wanted]
        if not isinstance(encoded, Prefix):
            rows = whole_rows(self, encoded, inputs)
            return torch.cat([h[row.positions.to(h.device)] for h, row in zip(rows, wanted, strict=True)])
        fed = [(index, tokens) for index, tokens in inputs if len(tokens)]
        # ranks that share layers must all call them, also one whose rows want their first token alone: it feeds any token
        fed = fed or [(inputs[0][0], self.rules.allowed.nonzero()[0].cpu())]
        states = torch.cat([encoded.last, answers(self, encoded, fed)])
        return states[places(wanted, len(encoded.last)).to(states.device)]


def places(wanted: Sequence[Wanted], prompts: int) -> Int[Tensor, " m"]:
    """Finds the states of wanted tokens among [last state of each of the prompts, states of all rows' inputs].

    The first token of a completion is predicted by its prompt's last state, each other one by the token before it.
    """
    start, out = prompts, []
    for row in wanted:
        out.append(torch.where(row.positions == 0, row.row_slice.index, start + row.positions - 1))
        start += len(row.inputs)
    return torch.cat(out)


def scatter(masks: Sequence[Bool[Tensor, "n t"]], values: Sequence[Float[Tensor, "m ..."] | None]) -> list[Tokens]:
    """Puts values of each kind, or None for kinds that nobody asked for, into the places of their tokens, piece by piece."""
    sizes = [int(mask.sum()) for mask in masks]
    each = zip(*([None] * len(masks) if value is None else value.split(sizes) for value in values), strict=True)
    return [
        Tokens(*(None if v is None else placed(v.to(mask.device), mask) for v in some))
        for mask, some in zip(masks, each, strict=True)
    ]


def placed(values: Float[Tensor, "m ..."], where: Bool[Tensor, "n t"]) -> Float[Tensor, "n t ..."]:
    """Puts values of the marked tokens into their places, and 0 elsewhere."""
    out = values.new_zeros(*where.shape, *values.shape[1:])
    out[where] = values
    return out
