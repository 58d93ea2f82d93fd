"""The algorithms by name: a class, or one with other defaults bound."""

from collections.abc import Callable, Mapping

from mmrl.algorithms.base import Algorithm
from mmrl.algorithms.care import CARE
from mmrl.algorithms.grpo import GRPO
from mmrl.algorithms.sft import SFT

ALGORITHMS: Mapping[str, Callable[..., Algorithm]] = {
    "sft": SFT,
    "grpo": GRPO,
    "care": CARE,
}

__all__ = ["ALGORITHMS", "CARE", "GRPO", "SFT", "Algorithm"]
