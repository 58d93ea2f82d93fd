"""Completions to learn from: sampled by the policy or its proposal, or demonstrations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from mmrl.config.schema import RolloutSection
from mmrl.models.context import refuse, too_long
from mmrl.models.policy import Policy
from mmrl.rewards.parse import parse
from mmrl.rollout import Engine
from mmrl.runtime.out_of_memory import run_with_smaller_batches
from mmrl.types import Group, Prompt

Rollouts = Callable[[Sequence[Prompt], int], list[Group]]  # prompts and step -> a group for each prompt


@dataclass
class Sampler:
    """Samples the groups of a step, with fewer rows at a time after memory did not suffice."""

    engine: Engine
    group_size: int
    seed: int

    def __call__(self, prompts: Sequence[Prompt], step: int) -> list[Group]:
        """Sample a group for each prompt. The model is in evaluation mode meanwhile, because gradient checkpointing stores no cache."""
        policy, members = self.engine.policy, range(self.group_size)

        def attempt(max_num_seqs: int) -> list[Group]:
            return replace(self.engine, max_num_seqs=max_num_seqs).sample(
                prompts, [members] * len(prompts), self.seed, step
            )

        training = policy.model.training
        policy.model.eval()
        try:
            with policy.full_parameters():
                rows = min(self.engine.max_num_seqs, len(members) * len(prompts))  # so that half of it is fewer rows
                groups, rows, halvings = run_with_smaller_batches(attempt, rows, len(members), "rollout.max_num_seqs")
        finally:
            policy.model.train(training)
        self.engine = replace(self.engine, max_num_seqs=rows) if halvings else self.engine
        policy.work.halvings += halvings
        return groups


def rollouts_of(policy: Policy, source: str, section: RolloutSection, seed: int) -> Rollouts:
    """Return the source of completions that an algorithm needs: "policy" or "demonstrations"."""
    if source == "demonstrations":
        return lambda prompts, _step: [demonstrate(policy, prompt) for prompt in prompts]
    engine = Engine(policy, section.decoding, lambda text: parse(text).span, section.max_num_seqs)
    return Sampler(engine, section.group_size, seed)


def demonstrate(policy: Policy, prompt: Prompt) -> Group:
    """Return the example's demonstration as a group of one. Raises ValueError if it has none, and PromptError if it does not fit."""
    demonstration, where = prompt.example.demonstration, f"example {prompt.example.id}"
    if demonstration is None:
        raise ValueError(f"{where}: expected a demonstration to learn from, found none; sft needs one a row")
    tokens = torch.tensor([policy.tokenise_completion(demonstration, where)])
    refuse(list(too_long([prompt], policy.context, tokens.shape[1])))
    mask = torch.ones_like(tokens, dtype=torch.bool)
    return Group(prompt, tokens, mask, torch.zeros_like(mask), (demonstration,), finished=mask[:, 0])
