"""The language half of a model: embedding, decoder layers and output head."""

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
    """Counters of a reader's work."""

    vision_passes: int = 0  # videos and images that passed through the tower
    forward_tokens: int = 0  # tokens that passed through the language model, padding included
    padding: int = 0  # forward tokens that were padding, or came after a completion's end
    max_logit_bytes: int = 0  # the peak of bytes of logits at a time
    halvings: int = 0  # how often the number of rows sampled at a time was halved

    def taken(self) -> "Work":
        """Return a copy of the counts and reset them to zero."""
        counts = replace(self)
        self.__init__()
        return counts


def dtype_of(model: nn.Module) -> torch.dtype:
    """Return the dtype of the master weights; sharded layers may be gathered in another one."""
    return model.get_input_embeddings().weight.dtype


def autocast(model: nn.Module, compute: torch.dtype | None):
    """Return a context that computes matrix products in ``compute``, if it differs from the dtype of the weights."""
    if compute is None or compute == dtype_of(model):
        return nullcontext()
    return torch.autocast(model.device.type, dtype=compute)


class Language:
    """The language half of a model: it maps tokens and features to hidden states and log-probabilities."""

    def __init__(self, model: nn.Module, rules: LogitRules, compute: torch.dtype | None):
        self.model, self.rules, self.compute, self.work = model, rules, compute, Work()

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the master weights."""
        return dtype_of(self.model)

    def autocast(self):
        """Return a context that computes matrix products in ``compute``, if it differs from the dtype of the weights."""
        return autocast(self.model, self.compute)

    @property
    def layers(self) -> nn.Module:
        """The decoder without its head."""
        return self.model.model.language_model

    def tokens(self, ids: Int[Tensor, "n l"]) -> Float[Tensor, "n l d"]:
        """Look up token embeddings."""
        table = self.model.get_input_embeddings()
        return functional.embedding(ids, full(table.weight), table.padding_idx)

    def placeholder_mask(self, ids: Int[Tensor, "*n l"]) -> Bool[Tensor, "*n l"]:
        """Return True at the image and video placeholders."""
        return torch.isin(ids, torch.tensor(self.rules.placeholders, device=ids.device))

    def check(self, ids: Sequence[Int[Tensor, " l"]], features: Sequence[Float[Tensor, "v k d"]]) -> None:
        """Raise ValueError unless each row has as many placeholders as features: else a part of a video would be lost."""
        counts, expected = [int(self.placeholder_mask(i).sum()) for i in ids], [len(f) for f in features]
        if counts != expected:
            raise ValueError(f"vision placeholders: expected {expected} (one per feature of the tower), found {counts}")

    def embed(self, ids: Int[Tensor, "n l"], features: Sequence[Float[Tensor, "v k d"]]) -> tuple[Tensor, dict]:
        """Embed tokens, with the tower's features at the placeholders; also return keyword arguments for the deeper layers.

        ``features`` are in the order of the placeholders. Their first level replaces the embeddings. Each further level is
        added to the hidden states at the placeholders, one layer later (Meng et al. 2024, DeepStack, 2406.04334).
        """
        embedded, deep = self.tokens(ids), {}
        if sum(map(len, features)):
            levels = torch.cat(list(features)).to(embedded.dtype).unbind(dim=1)
            mask = self.placeholder_mask(ids)
            embedded = embedded.masked_scatter(mask[..., None], levels[0])
            if len(levels) > 1:
                deep = {"visual_pos_masks": mask, "deepstack_visual_embeds": list(levels[1:])}
        if torch.is_grad_enabled() and not embedded.requires_grad:
            embedded.requires_grad_()  # then the backward pass runs through every layer, on every rank
        return embedded, deep

    def forward(self, embedded: Float[Tensor, "n l d"], positions: Int[Tensor, "3 n l"], **options):
        """Run all decoder layers."""
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
        """Compute log-probabilities and entropies from hidden states, and with ``reference`` also the exact divergence.

        ``states`` are the reference's hidden states. The head is gathered once with or without a reference, so that ranks
        stay in step.
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
        """Return how many rows of ``tensors`` [rows, vocabulary] tensors fit into ``max_logit_bytes``, and record the peak."""
        dtype, entries = torch.promote_types(hidden.dtype, torch.float32), len(self.rules.allowed)
        rows = min(len(hidden), logprobs.rows_of(self.rules.max_logit_bytes, entries, dtype, tensors))
        self.work.max_logit_bytes = max(self.work.max_logit_bytes, tensors * rows * entries * dtype.itemsize)
        return rows

    def logits(self, hidden: Float[Tensor, "n d"], temperature: float) -> Float[Tensor, "n v"]:
        """Compute the logits from which the next token is drawn."""
        weight = self.model.get_output_embeddings().weight
        return logprobs.allowed_logits(hidden, weight, self.rules.allowed, temperature)
