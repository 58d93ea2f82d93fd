"""Forward passes over [prompt, completion], one copy of the prompt per completion, for models that cannot share a prefix."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmrl.models.language import Language
from mmrl.models.vision.tower import EncodedPrompts

Row = tuple[Int[Tensor, " l"], Int[Tensor, "3 l"], Float[Tensor, "v k d"]]  # tokens, positions, features of media


def padded_pass(
    language: Language, rows: Sequence[Row], side: str, **options: Any
) -> tuple[Float[Tensor, "n l d"], Bool[Tensor, "n l"]]:
    """Run rows of any lengths, padded at the "left" or "right"; return last hidden states, and a mask that is False at padding.

    Right padding has no effect, because attention, convolutions and recurrent states run from left to right. Left padding
    needs a cache in ``options``; the mask then excludes the padding.
    """
    lengths = [len(tokens) for tokens, _, _ in rows]
    each = zip(*((t, p.T, torch.ones(len(t), dtype=torch.bool)) for t, p, _ in rows), strict=True)
    ids, positions, mask = (pad_sequence(list(tensors), batch_first=True, padding_side=side) for tensors in each)
    language.work.forward_tokens += ids.numel()
    language.work.padding += ids.numel() - sum(lengths)
    ids, mask, features = ids.to(language.device), mask.to(language.device), [media for _, _, media in rows]
    language.check(list(ids), features)
    embedded, deep = language.embed(ids, features)
    if side == "left":
        options["attention_mask"] = mask
    return language.forward(embedded, positions.permute(2, 0, 1), **options, **deep).last_hidden_state, mask


def copied_prefix_states(
    language: Language, encoded: EncodedPrompts, rows: Sequence[tuple[int, Int[Tensor, " t"]]]
) -> list[Float[Tensor, "t d"]]:
    """Compute the last hidden states of [prompt, completion] from the prompt's last token on, for each (prompt index, tokens)."""
    inputs = []
    for i, tokens in rows:
        prompt = encoded.prompts[i]
        later = (torch.arange(len(tokens)) + prompt.next_position).expand(3, -1)
        together = torch.cat([prompt.tokens, tokens]), torch.cat([prompt.positions, later], dim=1)
        inputs.append((*together, encoded.features[i]))
    hidden, _ = padded_pass(language, inputs, "right")
    starts = [len(encoded.prompts[i].tokens) - 1 for i, _ in rows]
    return [row[at : len(tokens)] for row, at, (tokens, _, _) in zip(hidden, starts, inputs, strict=True)]
