"""Samples completions from a policy."""

from mmrl.rollout.engine import Engine

__all__ = ["Engine"]
