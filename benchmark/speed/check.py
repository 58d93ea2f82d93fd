"""Measures how exact log-probabilities are: distances of mmrl's and of the plain path's to the plain path in float64."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmark.speed.plain import logp
from benchmark.speed.prompts import of_prompt, untouched
from mmrl.models.policy import Policy
from mmrl.types import Group, RowSlice

MOST = 10_000  # tokens of plain rows, in float32 and in float64


@torch.no_grad()
def logp_errors(policy: Policy, group: Group, root: Path) -> dict[str, Any]:
    """Distances over the tokens of a group, both in float32, and their ratio; root mean square, and the largest.

    Long prompts are checked with as many completions as make ``MOST`` tokens. The plain path is the untouched model with today's weights, given our positions; all are over the allowed tokens.
    """
    group = group.rows(slice(max(1, MOST // (len(group.prompt.tokens) + group.tokens.shape[1]))))
    policy.model.eval()
    with policy.encode([group.prompt]) as encoded:
        (tokens,) = policy.logprobs(encoded, [RowSlice(0, group)])
    model = untouched(root)
    model.load_state_dict(policy.model.state_dict())
    prompt, rows = of_prompt(group.prompt, model.device), group.tokens.to(model.device)
    plain = logp(model.eval(), prompt, rows, policy.rules.allowed)
    with in_float64(model.double()):
        exact = logp(model, prompt, rows, policy.rules.allowed)
    ours = distances(tokens.logprobs.to(exact.device), exact)
    theirs = distances(plain, exact)
    ratio = {name: ours[name] / theirs[name] for name in ours}
    return {"ours": ours, "plain": theirs, "ratio": ratio["rms"], "ratio_of_the_largest": ratio["max"]}


def distances(found: Tensor, exact: Tensor) -> dict[str, float]:
    """Root mean square and maximum."""
    gap = (found.double() - exact).abs()
    return {"rms": gap.square().mean().sqrt().item(), "max": gap.max().item()}


@contextmanager
def in_float64(model: nn.Module) -> Iterator[None]:
    """Keeps float64 where transformers casts to float32 (norms, rotations)."""
    norms = {type(m) for m in model.modules() if type(m).__name__.endswith("RMSNorm")}
    assert norms, "the model's norms go by another name"
    with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
        patches = [mock.patch.object(norm, "forward", norm_in_float64) for norm in norms]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


def norm_in_float64(self: nn.Module, hidden_states: Tensor) -> Tensor:
    """RMSNorm without a cast."""
    square = hidden_states.square().mean(-1, keepdim=True)
    return self.weight * hidden_states * torch.rsqrt(square + self.variance_epsilon)
