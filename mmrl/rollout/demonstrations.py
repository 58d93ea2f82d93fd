"""Makes groups of somebody else's completions."""

import torch

from mmrl.models.context import refuse, too_long
from mmrl.models.policy import Policy
from mmrl.types import Group, Prompt


def demonstrate(policy: Policy, prompt: Prompt) -> Group:
    """Makes the example's demonstration a group of one. Raises ValueError if it has none, and PromptError if it does not fit."""
    said, where = prompt.example.demonstration, f"example {prompt.example.id}"
    if said is None:
        raise ValueError(f"{where}: expected a demonstration to learn from, found none; sft needs one a row")
    tokens = torch.tensor([policy.encode(said, where)])
    refuse(list(too_long([prompt], policy.context, tokens.shape[1])))
    mask = torch.ones_like(tokens, dtype=torch.bool)
    return Group(prompt, tokens, mask, torch.zeros_like(mask), (said,), finished=mask[:, 0])
