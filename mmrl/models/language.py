"""Embedding, decoder layers and head of one set of weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from mmrl.models import full_kl, logprobs
from mmrl.models.precision import autocast
from mmrl.models.work import Work
from mmrl.runtime.sharding import full
from mmrl.types import Against


@dataclass(frozen=True, slots=True)
class Rules:
    """What the distribution over the next token is taken over."""

    allowed: Bool[Tensor, " v"]
    placeholders: tuple[int, ...]  # ids of the image and video placeholder tokens
    temperature: float = 1.0
    logit_bytes: int = 2**28


@dataclass(slots=True)
class Language:
    """The language half of a model: tokens and features in, hidden states and log-probabilities out."""

    model: nn.Module
    rules: Rules
    compute: torch.dtype | None  # as in Reader
    work: Work

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def layers(self) -> nn.Module:
        """The decoder without its head."""
        return self.model.model.language_model

    def tokens(self, ids: Int[Tensor, "n l"]) -> Float[Tensor, "n l d"]:
        """Token embeddings."""
        table = self.model.get_input_embeddings()
        return functional.embedding(ids, full(table.weight), table.padding_idx)

    def holes(self, ids: Int[Tensor, "*n l"]) -> Bool[Tensor, "*n l"]:
        """Where placeholders are."""
        return torch.isin(ids, torch.tensor(self.rules.placeholders, device=ids.device))

    def check(self, ids: Sequence[Int[Tensor, " l"]], features: Sequence[Float[Tensor, "v k d"]]) -> None:
        """Raises ValueError where some have more or fewer placeholders than features: a video would be seen in part, or not."""
        found, expected = [int(self.holes(i).sum()) for i in ids], [len(f) for f in features]
        if found != expected:
            raise ValueError(f"vision placeholders: expected {expected} (one per feature of the tower), found {found}")

    def embed(self, ids: Int[Tensor, "n l"], features: Sequence[Float[Tensor, "v k d"]]) -> tuple[Tensor, dict]:
        """Token embeddings with the tower's features in the places of the placeholders, and what the layers are told of these.

        ``features`` are in the order of the placeholders. Their first level stands in for the tokens; further levels are added
        to the hidden states of as many layers, at the same places (Meng et al. 2024, DeepStack, 2406.04334).
        """
        embedded = self.tokens(ids)
        if not sum(map(len, features)):
            return self.leaf(embedded), {}
        levels = torch.cat(list(features)).to(embedded.dtype).unbind(dim=1)
        holes = self.holes(ids)
        embedded = embedded.masked_scatter(holes[..., None], levels[0])
        deep = {"visual_pos_masks": holes, "deepstack_visual_embeds": list(levels[1:])} if len(levels) > 1 else {}
        return self.leaf(embedded), deep

    def leaf(self, embedded: Float[Tensor, "n l d"]) -> Float[Tensor, "n l d"]:
        """Whatever is trained and seen, the backward pass comes through every layer, on every rank."""
        if torch.is_grad_enabled() and not embedded.requires_grad:
            embedded.requires_grad_()
        return embedded

    def forward(self, embedded: Float[Tensor, "n l d"], positions: Int[Tensor, "3 n l"], **options):
        """Through all layers."""
        options = {"use_cache": False, "attention_mask": None} | options
        with autocast(self.model, self.compute):
            return self.layers(inputs_embeds=embedded, position_ids=positions.to(self.device), **options)

    def said(
        self,
        hidden: Float[Tensor, "m d"],
        tokens: Int[Tensor, " m"],
        states: Float[Tensor, "m d"] | None = None,
        against: Against | None = None,
    ) -> list[Float[Tensor, " m"]]:
        """Log-probabilities and entropies from hidden states; and the exact divergence from another model's, whose states are
        given. The head is gathered once either way, so that ranks that ask for different things keep step."""
        rules, weight = self.rules, full(self.model.get_output_embeddings().weight)
        self.rows(hidden, logprobs.TENSORS)
        found = [*logprobs.token_logp(hidden, tokens, weight, rules.allowed, rules.temperature, rules.logit_bytes)]
        if against is not None:
            self.rows(hidden, full_kl.TENSORS)
            how = (rules.allowed, rules.temperature, against.direction, rules.logit_bytes)
            found.append(full_kl.token_divergence(hidden, states.to(hidden), weight, against.head, *how))
        return found

    def rows(self, hidden: Float[Tensor, "m d"], tensors: int) -> int:
        """Of how many of these states so many tensors as wide as the vocabulary may exist at a time; what they take is counted."""
        dtype, entries = torch.promote_types(hidden.dtype, torch.float32), len(self.rules.allowed)
        rows = min(len(hidden), logprobs.rows_of(self.rules.logit_bytes, entries, dtype, tensors))
        self.work.logit_bytes = max(self.work.logit_bytes, tensors * rows * entries * dtype.itemsize)
        return rows

    def logits(self, hidden: Float[Tensor, "n d"], temperature: float) -> Float[Tensor, "n v"]:
        """What the next token is drawn from."""
        return logprobs.allowed_logits(
            hidden, self.model.get_output_embeddings().weight, self.rules.allowed, temperature
        )
