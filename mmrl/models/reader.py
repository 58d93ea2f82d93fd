"""The language half of a video language model: read completions, prefill a rollout."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.nn import functional
from transformers import DynamicCache

from mmrl.models.families import Family
from mmrl.models.heads import allowed_logits, scatter, token_logp
from mmrl.models.precision import autocast, dtype_of
from mmrl.models.tower import Seen, Tower
from mmrl.models.work import Work
from mmrl.shard import full, gathered, shard, whole
from mmrl.types import Group, Prompt, Tokens


@dataclass(frozen=True, slots=True)
class Piece:
    """Some completions of one of the prompts that were seen."""

    index: int  # of the prompt
    group: Group


@dataclass(frozen=True, slots=True)
class Rules:
    """What the distribution over the next token is taken over."""

    allowed: Bool[Tensor, " v"]
    placeholders: tuple[int, ...]  # ids of the image and video placeholder tokens
    temperature: float = 1.0
    logit_bytes: int = 2**28


class Reader:
    """One set of weights. It knows the model's parts; it knows nothing of files, texts or algorithms."""

    def __init__(self, model: nn.Module, family: Family, rules: Rules, compute: torch.dtype | None = None):
        self.model, self.family, self.rules, self.compute = model, family, rules, compute
        self.work = Work()
        self.tower = Tower(model, family, compute, self.work)

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """That of the masters; sharded layers may be gathered in another."""
        return dtype_of(self.model)

    def shard(self, mesh: DeviceMesh, device: torch.device) -> None:
        """Keep this rank's part of the weights only."""
        shard(self.model, mesh, device, None if self.compute == self.dtype else self.compute)
        self.rules = replace(self.rules, allowed=self.rules.allowed.to(device))

    def whole(self):
        """The weights complete on every rank, for reading without waiting for one another."""
        return whole(self.model)

    def autocast(self):
        """Matrix products in ``compute``, where that is narrower than the weights."""
        return autocast(self.model, self.compute)

    def look(self, prompts: Sequence[Prompt]) -> None:
        """Let a frozen tower see the prompts before anything is asked of them: then no reading passes through it.

        All ranks must call it, with whatever prompts. Nothing where the tower trains.
        """
        if self.tower.frozen:
            with gathered(self.model.model.visual), torch.no_grad():
                self.tower.features(prompts)

    def see(self, prompts: Sequence[Prompt]) -> AbstractContextManager[Seen]:
        """The prompts with their media seen: one pass through the tower, and at exit its one backward pass."""
        return self.tower.see(prompts)

    def read(
        self, seen: Seen, pieces: Sequence[Piece], where: Sequence[Bool[Tensor, "n t"]] | None = None
    ) -> list[Tokens]:
        """What the model says of the completions' tokens, for each piece ``[n t]``.

        One forward over all pieces. ``where`` restricts it to some tokens, and to the rows that hold any of them; elsewhere the
        log-probabilities are 0. The first token of a completion is predicted at the last place of its prompt.
        """
        where = [piece.group.mask for piece in pieces] if where is None else where
        rows = [(k, r) for k, w in enumerate(where) for r in w.any(dim=1).nonzero().flatten().tolist()]
        if not rows:
            return [Tokens(*(w.new_zeros(w.shape, dtype=torch.float32),) * 2) for w in where]
        hidden = self.hidden(seen, pieces, rows)
        places = [where[k][r].nonzero().flatten() for k, r in rows]
        starts = [len(seen.prompts[pieces[k].index].tokens) - 1 for k, _ in rows]
        at = torch.cat([hidden[i, start + place] for i, (start, place) in enumerate(zip(starts, places, strict=True))])
        tokens = torch.cat([pieces[k].group.tokens[r][place] for (k, r), place in zip(rows, places, strict=True)])
        logp, entropy = self.logp(at, tokens.to(at.device))
        sizes = [int(w.sum()) for w in where]
        return [
            scatter(p.to(w.device), e.to(w.device), w)
            for p, e, w in zip(logp.split(sizes), entropy.split(sizes), where, strict=True)
        ]

    def logp(self, hidden: Float[Tensor, "m d"], tokens: Int[Tensor, " m"]) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies from hidden states."""
        rules, weight = self.rules, full(self.model.get_output_embeddings().weight)
        self.work.logit_bytes = max(self.work.logit_bytes, min(rules.logit_bytes, len(tokens) * len(weight) * 4))
        return token_logp(hidden, tokens, weight, rules.allowed, rules.temperature, rules.logit_bytes)

    def hidden(self, seen: Seen, pieces: Sequence[Piece], rows: Sequence[tuple[int, int]]) -> Float[Tensor, "n l d"]:
        """Last hidden states of [prompt, completion] for each row; rows are padded at the right, where no token looks."""
        chosen = [(seen.prompts[pieces[k].index], pieces[k], r) for k, r in rows]
        lengths = [len(prompt.tokens) + last(piece.group.mask[r]) for prompt, piece, r in chosen]
        ids = torch.zeros(len(rows), max(lengths), dtype=torch.long)
        positions = torch.zeros(3, len(rows), max(lengths), dtype=torch.long)
        for i, ((prompt, piece, r), length) in enumerate(zip(chosen, lengths, strict=True)):
            p = len(prompt.tokens)
            ids[i, :p], ids[i, p:length] = prompt.tokens, piece.group.tokens[r, : length - p]
            positions[:, i, :p] = prompt.positions
            positions[:, i, p:length] = torch.arange(length - p) + prompt.next_position
        self.work.forward_tokens += ids.numel()
        self.work.padding += ids.numel() - sum(lengths)
        features = [seen.features[pieces[k].index] for k, _ in rows]
        embedded = self.embed(ids.to(self.device), features)
        if torch.is_grad_enabled() and not embedded.requires_grad:
            embedded.requires_grad_()  # whatever is trained and seen, the backward pass comes through every layer, on every rank
        with self.autocast():
            return self.language(embedded, positions.to(self.device)).last_hidden_state

    def embed(self, ids: Int[Tensor, "n l"], features: Sequence[Float[Tensor, "v d"]]) -> Float[Tensor, "n l d"]:
        """Token embeddings with the tower's features in the places of the placeholders.

        Raises ValueError where there are more or fewer placeholders than features: a video would be seen in part, or not at all.
        """
        embedded = self.tokens(ids)
        holes = torch.isin(ids, torch.tensor(self.rules.placeholders, device=ids.device))
        found, expected = holes.sum(dim=1).tolist(), [len(f) for f in features]
        if found != expected:
            raise ValueError(f"vision placeholders: expected {expected} (one per feature of the tower), found {found}")
        if not any(expected):
            return embedded
        return embedded.masked_scatter(holes[..., None], torch.cat(list(features)).to(embedded.dtype))

    def tokens(self, ids: Int[Tensor, "n l"]) -> Float[Tensor, "n l d"]:
        """Token embeddings."""
        table = self.model.get_input_embeddings()
        return functional.embedding(ids, full(table.weight), table.padding_idx)

    def language(self, embedded: Float[Tensor, "n l d"], positions: Int[Tensor, "3 n l"], **options):
        """The language model without its head."""
        options = {"use_cache": False, "attention_mask": None} | options
        return self.model.model.language_model(inputs_embeds=embedded, position_ids=positions, **options)

    def prefill(self, seen: Seen) -> tuple[DynamicCache, Bool[Tensor, "n p"], Float[Tensor, "n d"]]:
        """Keys and values of the prompts, padded at the left; which places are prompt; the hidden state of the last place."""
        lengths = [len(prompt.tokens) for prompt in seen.prompts]
        width = max(lengths)
        ids = torch.zeros(len(lengths), width, dtype=torch.long)
        positions = torch.zeros(3, len(lengths), width, dtype=torch.long)
        mask = torch.zeros(len(lengths), width, dtype=torch.bool)
        for i, (prompt, length) in enumerate(zip(seen.prompts, lengths, strict=True)):
            ids[i, width - length :], positions[:, i, width - length :] = prompt.tokens, prompt.positions
            mask[i, width - length :] = True
        ids, positions, mask = (x.to(self.device) for x in (ids, positions, mask))
        self.work.forward_tokens += ids.numel()
        self.work.padding += ids.numel() - sum(lengths)
        cache = DynamicCache(config=self.model.config.get_text_config())
        with self.autocast():
            out = self.language(
                self.embed(ids, seen.features), positions, attention_mask=mask, past_key_values=cache, use_cache=True
            )
        return cache, mask, out.last_hidden_state[:, -1]

    def advance(
        self, tokens: Int[Tensor, " n"], positions: Int[Tensor, " n"], mask: Bool[Tensor, "n l"], cache: DynamicCache
    ) -> Float[Tensor, "n d"]:
        """One more token for each row; ``mask`` covers the cache and the new token."""
        self.work.forward_tokens += len(tokens)
        embedded = self.tokens(tokens[:, None])
        with self.autocast():
            out = self.language(
                embedded, positions.expand(3, -1)[..., None], attention_mask=mask, past_key_values=cache, use_cache=True
            )
        return out.last_hidden_state[:, -1]

    def logits(self, hidden: Float[Tensor, "n d"], temperature: float) -> Float[Tensor, "n v"]:
        """What the next token is drawn from."""
        return allowed_logits(hidden, self.model.get_output_embeddings().weight, self.rules.allowed, temperature)


def last(mask: Bool[Tensor, " t"]) -> int:
    """One past the last True."""
    places = mask.nonzero()
    return int(places[-1]) + 1 if len(places) else 0
