"""Who samples, and how."""

from mmrl.rollout.demonstrations import demonstrate
from mmrl.rollout.engine import Engine

__all__ = ["Engine", "demonstrate"]
