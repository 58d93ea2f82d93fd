"""Samples completions from a policy, or takes somebody else's."""

from mmrl.rollout.demonstrations import demonstrate
from mmrl.rollout.engine import Engine

__all__ = ["Engine", "demonstrate"]
