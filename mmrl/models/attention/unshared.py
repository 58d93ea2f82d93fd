"""Reads every completion with a copy of its prompt, as transformers does it, for models that cannot share."""

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
    """Runs rows of any lengths, padded at the "left" or "right"; gives last hidden states and a mask of what is no padding.

    At the right no token looks at padding, as attention, convolution and recurrent state come from the left. At the left
    ``options`` must hold a cache, out of which the mask keeps padding.
    """
    lengths = [len(tokens) for tokens, _, _ in rows]
    each = zip(*((t, p.T, torch.ones(len(t), dtype=torch.bool)) for t, p, _ in rows), strict=True)
    ids, positions, mask = (pad_sequence(list(some), batch_first=True, padding_side=side) for some in each)
    language.work.forward_tokens += ids.numel()
    language.work.padding += ids.numel() - sum(lengths)
    ids, mask, features = ids.to(language.device), mask.to(language.device), [some for _, _, some in rows]
    language.check(list(ids), features)
    embedded, deep = language.embed(ids, features)
    if side == "left":
        options["attention_mask"] = mask
    return language.forward(embedded, positions.permute(2, 0, 1), **options, **deep).last_hidden_state, mask


def whole_rows(
    language: Language, encoded: EncodedPrompts, rows: Sequence[tuple[int, Int[Tensor, " t"]]]
) -> list[Float[Tensor, "t d"]]:
    """Computes last hidden states of [prompt, completion] from the prompt's last place on, for each row (prompt, tokens)."""
    whole = []
    for i, tokens in rows:
        prompt = encoded.prompts[i]
        later = (torch.arange(len(tokens)) + prompt.next_position).expand(3, -1)
        together = torch.cat([prompt.tokens, tokens]), torch.cat([prompt.positions, later], dim=1)
        whole.append((*together, encoded.features[i]))
    hidden, _ = padded_pass(language, whole, "right")
    starts = [len(encoded.prompts[i].tokens) - 1 for i, _ in rows]
    return [row[at : len(tokens)] for row, at, (tokens, _, _) in zip(hidden, starts, whole, strict=True)]
