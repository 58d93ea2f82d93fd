"""The exact judge as graders, for configs."""

from collections.abc import Callable, Mapping
from typing import Any

from mmrl.world.judge import judge


def consistent(completion: str, **fields: Any) -> float:
    """1 where the option that the reasoning concludes is the one that is answered; unparsable is 0 (CAC)."""
    return float(judge(completion, fields).consistent)


def supported(completion: str, **fields: Any) -> float:
    """1 where deduction, mapping to the letter and answer all follow from one another."""
    return float(judge(completion, fields).support)


def grounded(completion: str, **fields: Any) -> float:
    """F1 of the events that the reasoning claims, against those that happened."""
    return float(judge(completion, fields).events_f1)


WORLD_GRADERS: Mapping[str, Callable[..., float]] = {
    "world_consistency": consistent,
    "world_support": supported,
    "world_events": grounded,
}
