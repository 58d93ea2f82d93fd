"""A copy of the policy that samples instead of it, for methods that learn from samples of an older policy."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from mmrl.models.policy import Policy
from mmrl.runtime.sharding import gather_state_dict, load_full_state_dict


class Proposal(Policy):
    """A copy of the policy with its own weights; the trainer synchronises them when the policy is closer to the target.

    Source: Parshakova, Andreoli, Dymetman 2019 (1912.08517), algorithm 1.
    """

    def __init__(self, policy: Policy):
        model = copy.deepcopy(policy.model).requires_grad_(False).eval()
        rules = policy.rules.temperature, policy.rules.max_logit_bytes
        super().__init__(model, policy.processor, policy.template, *rules, policy.compute, policy.shares_prefix)
        self.tower.fixed_level = policy.tower.cache_level

    @torch.no_grad()
    def sync(self, policy: Policy) -> None:
        """Copy the policy's weights into the proposal."""
        for own, current in zip(self.model.parameters(), policy.model.parameters(), strict=True):
            own.copy_(current)

    def state(self) -> Mapping[str, Tensor]:
        """Return the full weights by name on rank 0 and nothing elsewhere, for ``restore``."""
        return gather_state_dict(self.model)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights that ``state`` returned."""
        load_full_state_dict(self.model, state)
