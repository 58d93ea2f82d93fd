"""Reads every completion with a copy of its prompt, as transformers does it, for models that cannot share."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmrl.models.language import Language
from mmrl.models.vision.tower import Seen


def whole_rows(
    language: Language, seen: Seen, rows: Sequence[tuple[int, Int[Tensor, " t"]]]
) -> list[Float[Tensor, "t d"]]:
    """Computes last hidden states of [prompt, completion] from the prompt's last place on, for each row (prompt, tokens).

    Rows are padded at the right, where no token looks; attention, convolution and recurrent state come from the left.
    """
    chosen = [(seen.prompts[i], tokens) for i, tokens in rows]
    lengths = [len(prompt.tokens) + len(tokens) for prompt, tokens in chosen]
    ids = torch.zeros(len(rows), max(lengths), dtype=torch.long)
    positions = torch.zeros(3, len(rows), max(lengths), dtype=torch.long)
    for i, ((prompt, tokens), length) in enumerate(zip(chosen, lengths, strict=True)):
        p = len(prompt.tokens)
        ids[i, :p], ids[i, p:length] = prompt.tokens, tokens
        positions[:, i, :p] = prompt.positions
        positions[:, i, p:length] = torch.arange(length - p) + prompt.next_position
    language.work.forward_tokens += ids.numel()
    language.work.padding += ids.numel() - sum(lengths)
    ids, features = ids.to(language.device), [seen.features[i] for i, _ in rows]
    language.check(list(ids), features)
    embedded, deep = language.embed(ids, features)
    hidden = language.forward(embedded, positions, **deep).last_hidden_state
    return [
        row[len(prompt.tokens) - 1 : length] for row, (prompt, _), length in zip(hidden, chosen, lengths, strict=True)
    ]
