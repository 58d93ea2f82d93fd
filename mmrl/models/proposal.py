"""A copy of the policy that samples in its place, for methods that learn from samples of an older policy."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from mmrl.models.policy import Policy
from mmrl.runtime.sharding import gather_state_dict, load_full_state_dict


class Proposal(Policy):
    """Holds weights of its own, which stay until the trainer says that the policy is closer to the target.

    Source: Parshakova, Andreoli, Dymetman 2019 (1912.08517), algorithm 1.
    """

    def __init__(self, policy: Policy):
        model = copy.deepcopy(policy.model).requires_grad_(False).eval()
        rules = policy.rules.temperature, policy.rules.max_logit_bytes
        super().__init__(model, policy.processor, policy.template, *rules, policy.compute, policy.shares_prefix)
        self.tower.fixed_level = policy.tower.cache_level

    @torch.no_grad()
    def sync(self, policy: Policy) -> None:
        """Copies the policy's weights."""
        for mine, its in zip(self.model.parameters(), policy.model.parameters(), strict=True):
            mine.copy_(its)

    def state(self) -> Mapping[str, Tensor]:
        """Gives, on rank 0, the tensors from which ``restore`` makes the proposal again."""
        return gather_state_dict(self.model)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes over what ``state`` gave."""
        load_full_state_dict(self.model, state)
