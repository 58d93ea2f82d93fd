"""Collection of a step's groups: draw examples, sample and grade completions, select groups."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmrl.algorithms.base import Algorithm
from mmrl.training.step.metrics import Meter
from mmrl.training.step.non_finite import all_finite, refuse
from mmrl.types import Example, Group, Prompt, Scored

Graded = tuple[Group, Mapping[str, Tensor]]  # a group and its rewards by name


@dataclass
class Collector:
    """The callables that feed a trainer, and their position in the data."""

    ranks: Any
    examples: Callable[[int], Sequence[Example]]  # draw -> this rank's examples
    prepare: Callable[[Sequence[Example]], Sequence[Prompt]]  # decodes media and tokenises
    sample: Callable[[Sequence[Prompt], int], Sequence[Group]]
    grade: Callable[[Sequence[Group]], Sequence[Mapping[str, Tensor]]]  # all groups at once: async graders overlap
    weights: Mapping[str, float]  # weight of each reward by name
    base_rewards: Mapping[str, Mapping[str, Tensor]] | None = None  # example id -> reward -> [n] of the base model
    done: int = 0  # batches of examples drawn for whole steps: more than steps if the algorithm selects groups
    drawn: int = 0  # batches drawn for the step that is under way

    def collect(self, algorithm: Algorithm, step: int, meter: Meter) -> list[Scored]:
        """Return the groups of step ``step``, graded. Raises NonFiniteError if a reward is not finite."""
        self.drawn = 0
        chosen = algorithm.needs.max_gen_batches is not None
        graded = self.draw_until_kept(algorithm, step, meter) if chosen else self.draw(step, meter)
        return [
            Scored(group, rewards, self.total(group, rewards), base_rewards=self.base_rewards_of(group))
            for group, rewards in graded
        ]

    def finish_step(self) -> None:
        """Count the batches of the step that has ended."""
        self.done, self.drawn = self.done + self.drawn, 0

    def draw(self, step: int, meter: Meter) -> list[Graded]:
        """Return the groups of one batch of examples, graded."""
        number = self.done + self.drawn
        with meter.phase("data"):
            prompts = self.prepare(self.examples(number))
        with meter.phase("gen"):
            groups = self.sample(prompts, number)
        sampled = [group for group in groups if group.sampling_logprobs is not None]
        if sampled:
            meter.total("work/sampled_tokens", float(sum(int(group.completion_mask.sum()) for group in sampled)))
        with meter.phase("reward"):
            rewards = self.grade(groups)
        self.drawn += 1
        bad = [g.prompt.example.id for g, r in zip(groups, rewards, strict=True) if not all_finite(r.values())]
        refuse(self.ranks.names(bad), step, "reward", "Look at what the graders say of these examples")
        return list(zip(groups, rewards, strict=True))

    def draw_until_kept(self, algorithm: Algorithm, step: int, meter: Meter) -> list[Graded]:
        """Draw batches until one batch of groups passes ``keep_group``, or ``max_gen_batches`` are drawn; return the groups in order."""
        selected: list[Graded] = []
        passed, size, most = 0, 0, algorithm.needs.max_gen_batches or 1  # passed: groups of all ranks
        while self.drawn < most and (passed < size or not self.drawn):
            graded = self.draw(step, meter)
            useful = [pair for pair in graded if algorithm.keep_group(*pair)]
            counts = self.ranks.gather((len(graded), len(useful)))
            size = size or sum(count for count, _ in counts)
            others = passed + sum(count for _, count in counts[: self.ranks.rank])
            selected += useful[: max(0, size - others)]
            passed += sum(count for _, count in counts)
            meter.total("groups/drawn", len(graded))
        meter.total("groups/kept", len(selected))
        meter.most("groups/num_gen_batches", self.drawn)
        return selected

    def total(self, group: Group, rewards: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum of the rewards, [g]; 0 if there are none."""
        return sum((w * rewards[name] for name, w in self.weights.items()), torch.zeros(len(group)))

    def base_rewards_of(self, group: Group) -> Mapping[str, Tensor] | None:
        """Return the rewards of the base model on the group's example. Raises ValueError if the table lacks it."""
        if self.base_rewards is None:
            return None
        name = group.prompt.example.id
        if name not in self.base_rewards:
            raise ValueError(
                f"base_rewards: expected what the base model earned on every example, found nothing of {name}; "
                "run mmrl prepare with the data of this config"
            )
        return self.base_rewards[name]
