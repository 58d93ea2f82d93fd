"""The optimizer: which parameters learn, at which rate, on which schedule."""

import math

import torch
from torch import nn

from mmrl.config.schema import OptimizerSection
from mmrl.models.families import Family
from mmrl.models.policy import Policy


def parts_of(model: nn.Module, family: Family) -> dict[str, dict[str, nn.Parameter]]:
    """Returns the parameters of tower, projector and language model, by part and name."""
    parts: dict[str, dict[str, nn.Parameter]] = {"vision_tower": {}, "projector": {}, "language_model": {}}
    for name, parameter in model.named_parameters():
        of_tower = "projector" if name.startswith(family.projector) else "vision_tower"
        parts[of_tower if name.startswith(family.tower) else "language_model"][name] = parameter
    return parts


def optimizer_of(policy: Policy, section: OptimizerSection) -> torch.optim.AdamW:
    """Returns an AdamW with a learning rate for each part, without the parts of rate 0. Vectors (norms, biases) have no weight decay."""
    groups = []
    for part, parameters in parts_of(policy.model, policy.family).items():
        rate = getattr(section.learning_rates, part)
        if rate > 0:
            for decay, chosen in ((section.weight_decay, lambda p: p.ndim > 1), (0.0, lambda p: p.ndim <= 1)):
                learned = [p for p in parameters.values() if chosen(p)]
                groups.append({"params": learned, "base_lr": rate, "weight_decay": decay})
    return torch.optim.AdamW([g for g in groups if g["params"]], betas=section.betas, eps=section.eps)


def freeze(policy: Policy, section: OptimizerSection) -> None:
    """Turns off the gradient of the parts of rate 0. Call it before a reference is copied, which must know the trained parts of the tower."""
    for part, parameters in parts_of(policy.model, policy.family).items():
        for parameter in parameters.values():
            parameter.requires_grad_(getattr(section.learning_rates, part) > 0)


def lr_multiplier(step: int, total: int, section: OptimizerSection) -> float:
    """Returns the factor on the learning rate at an optimizer step: a linear warm-up, a plateau, then the schedule's decay."""
    if step < section.warmup_steps:
        return (step + 1) / section.warmup_steps
    start = max(section.warmup_steps, section.decay_start * total)
    if section.schedule == "constant" or step <= start:
        return 1.0
    done = min(1.0, (step - start) / max(1.0, total - start))
    left = 1 - done if section.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return section.min_lr_ratio + (1 - section.min_lr_ratio) * left
