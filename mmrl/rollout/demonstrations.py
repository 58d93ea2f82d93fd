"""Makes groups of somebody else's completions."""

import torch

from mmrl.models.context import refuse, too_long
from mmrl.models.policy import Policy
from mmrl.types import Group, Prompt


def demonstrate(policy: Policy, prompt: Prompt) -> Group:
    """Makes the example's demonstration a group of one. Raises ValueError if it has none, and PromptError if it does not fit."""
    example = prompt.example
    if example.demonstration is None:
        raise ValueError(
            f"example {example.id}: expected a demonstration to learn from, found none; sft needs one a row"
        )
    tokens = torch.tensor([policy.encode(example.demonstration, f"example {example.id}")])
    refuse(list(too_long([prompt], policy.context, tokens.shape[1])))
    mask = torch.ones_like(tokens, dtype=torch.bool)
    return Group(
        prompt, tokens, mask, torch.zeros_like(mask), (example.demonstration,), torch.ones(1, dtype=torch.bool)
    )
