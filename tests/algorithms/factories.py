"""Scored groups made of numbers."""

import torch

from mmrl.types import Example, Group, Prompt, Scored


def scored(accuracy, form, likelihood, dtype=torch.float64, lengths=None, seed=0):
    """Ragged completions whose last tokens are the answer; ``likelihood`` holds the reference's probability of each answer
    token, one number a row or several."""
    g = len(accuracy)
    p = torch.tensor(likelihood, dtype=dtype).reshape(g, -1)
    lengths = torch.tensor(lengths or [3 + i % 3 for i in range(g)]) + p.shape[1]
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    answer = mask & (torch.arange(int(lengths.max())) >= (lengths - p.shape[1])[:, None])
    reference = torch.zeros(mask.shape, dtype=dtype)
    reference[answer] = p.log().flatten()
    prompt = Prompt(Example("made", "q"), torch.zeros(2, dtype=torch.long), torch.zeros(3, 2, dtype=torch.long))
    sampled = torch.randn(mask.shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)) * mask
    group = Group(
        prompt,
        torch.zeros(mask.shape, dtype=torch.long),
        mask,
        answer,
        ("",) * g,
        torch.ones(g, dtype=torch.bool),
        sampled,
    )
    rewards = {"accuracy": torch.tensor(accuracy, dtype=dtype), "format": torch.tensor(form, dtype=dtype)}
    return Scored(group, rewards, rewards["accuracy"] + rewards["format"], reference, answer)
