"""Embedding, decoder layers and head of one set of weights."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from mmrl.models import full_kl, logprobs
from mmrl.models.logprobs import LogitRules
from mmrl.runtime.sharding import full
from mmrl.types import ReferenceDistribution


@dataclass
class Work:
    """Counts the work of a reader, where it is done."""

    vision_passes: int = 0  # videos and images through the tower
    forward_tokens: int = 0  # tokens through the language model, padding included
    padding: int = 0  # tokens among these that are padding, or come after a completion's end
    max_logit_bytes: int = 0  # the most that existed at a time
    halvings: int = 0  # of the rows that are sampled at a time

    def taken(self) -> "Work":
        """Gives the counts so far, and counts from zero again."""
        done = replace(self)
        self.__init__()
        return done


def dtype_of(model: nn.Module) -> torch.dtype:
    """The type of the master weights; sharded layers may be gathered in another."""
    return model.get_input_embeddings().weight.dtype


def autocast(model: nn.Module, compute: torch.dtype | None):
    """Lets matrix products be in ``compute``, where that is narrower than the weights."""
    if compute is None or compute == dtype_of(model):
        return nullcontext()
    return torch.autocast(model.device.type, dtype=compute)


class Language:
    """Runs the language half of a model: tokens and features in, hidden states and log-probabilities out."""

    def __init__(self, model: nn.Module, rules: LogitRules, compute: torch.dtype | None):
        self.model, self.rules, self.compute, self.work = model, rules, compute, Work()

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the master weights."""
        return dtype_of(self.model)

    def autocast(self):
        """Lets matrix products be in ``compute``, where that is narrower than the weights."""
        return autocast(self.model, self.compute)

    @property
    def layers(self) -> nn.Module:
        """The decoder without its head."""
        return self.model.model.language_model

    def tokens(self, ids: Int[Tensor, "n l"]) -> Float[Tensor, "n l d"]:
        """Looks up token embeddings."""
        table = self.model.get_input_embeddings()
        return functional.embedding(ids, full(table.weight), table.padding_idx)

    def holes(self, ids: Int[Tensor, "*n l"]) -> Bool[Tensor, "*n l"]:
        """Marks the placeholders."""
        return torch.isin(ids, torch.tensor(self.rules.placeholders, device=ids.device))

    def check(self, ids: Sequence[Int[Tensor, " l"]], features: Sequence[Float[Tensor, "v k d"]]) -> None:
        """Raises ValueError if a row's placeholders are not as many as its features: a video would be seen in part, or not."""
        holes, expected = [int(self.holes(i).sum()) for i in ids], [len(f) for f in features]
        if holes != expected:
            raise ValueError(f"vision placeholders: expected {expected} (one per feature of the tower), found {holes}")

    def embed(self, ids: Int[Tensor, "n l"], features: Sequence[Float[Tensor, "v k d"]]) -> tuple[Tensor, dict]:
        """Embeds tokens with the tower's features in place of the placeholders; gives arguments for deeper layers beside it.

        ``features`` are in the order of the placeholders. Their first level replaces the embeddings; each further level is
        added to the hidden states after one more layer, at the same places (Meng et al. 2024, DeepStack, 2406.04334).
        """
        embedded, deep = self.tokens(ids), {}
        if sum(map(len, features)):
            levels = torch.cat(list(features)).to(embedded.dtype).unbind(dim=1)
            holes = self.holes(ids)
            embedded = embedded.masked_scatter(holes[..., None], levels[0])
            if len(levels) > 1:
                deep = {"visual_pos_masks": holes, "deepstack_visual_embeds": list(levels[1:])}
        if torch.is_grad_enabled() and not embedded.requires_grad:
            embedded.requires_grad_()  # so that the backward pass runs through every layer, on every rank
        return embedded, deep

    def forward(self, embedded: Float[Tensor, "n l d"], positions: Int[Tensor, "3 n l"], **options):
        """Runs all layers."""
        options = {"use_cache": False, "attention_mask": None} | options
        with self.autocast():
            return self.layers(inputs_embeds=embedded, position_ids=positions.to(self.device), **options)

    def token_values(
        self,
        hidden: Float[Tensor, "m d"],
        tokens: Int[Tensor, " m"],
        states: Float[Tensor, "m d"] | None = None,
        reference: ReferenceDistribution | None = None,
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"], Float[Tensor, " m"] | None]:
        """Computes log-probabilities and entropies from hidden states, and with ``against`` the exact divergence as well.

        ``states`` are those of the other model. The head is gathered once in both cases, so that ranks that ask for
        different things keep step.
        """
        weight = full(self.model.get_output_embeddings().weight)
        self.rows_per_chunk(hidden, logprobs.TENSORS)
        values = logprobs.token_logprobs(hidden, tokens, weight, self.rules)
        if reference is None:
            return *values, None
        self.rows_per_chunk(hidden, full_kl.TENSORS)
        others = states.to(hidden), weight, reference.head, self.rules, reference.direction
        return *values, full_kl.token_divergence(hidden, *others)

    def rows_per_chunk(self, hidden: Float[Tensor, "m d"], tensors: int) -> int:
        """Rows per chunk, so that ``tensors`` tensors as wide as the vocabulary stay within ``max_logit_bytes``; records the peak."""
        dtype, entries = torch.promote_types(hidden.dtype, torch.float32), len(self.rules.allowed)
        rows = min(len(hidden), logprobs.rows_of(self.rules.max_logit_bytes, entries, dtype, tensors))
        self.work.max_logit_bytes = max(self.work.max_logit_bytes, tensors * rows * entries * dtype.itemsize)
        return rows

    def logits(self, hidden: Float[Tensor, "n d"], temperature: float) -> Float[Tensor, "n v"]:
        """Computes the logits that the next token is drawn from."""
        weight = self.model.get_output_embeddings().weight
        return logprobs.allowed_logits(hidden, weight, self.rules.allowed, temperature)
