"""The exact judge as graders, for configs."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from mmrl.world.judge import judge


def verdict_on(name: str, completion: str, /, **fields: Any) -> float:
    """One field of the verdict on a completion: a rate, or 1 where it is true."""
    return float(getattr(judge(completion, fields), name))


def cue(completion: str, /, **fields: Any) -> float:
    """1 where the answer is the letter that the planted cue points to.

    Raises ValueError for a row without a cue, so a set that is graded by this must have one on every row: neither 0 nor 1
    would be true there, and a mean over some of the rows would be another number than its name says.
    """
    follows = judge(completion, fields).follows_cue
    if follows is None:
        where = f"row {fields.get('sample_id', fields.get('id'))}"
        raise ValueError(
            f"{where}: world_cue expected a cue that points to a letter on every row, found none; drop it here"
        )
    return float(follows)


def parses(completion: str, /, **fields: Any) -> float:
    """1 where every word of the reasoning was understood and a letter is answered."""
    verdict = judge(completion, fields)
    return float(verdict.coverage == 1 and verdict.answer is not None)


WORLD_GRADERS: Mapping[str, Callable[..., float]] = MappingProxyType(  # each field is explained at `Judgement`
    {
        "world_events": partial(verdict_on, "events_f1"),
        "world_station": partial(verdict_on, "station_events"),
        "world_hidden": partial(verdict_on, "hidden_true"),
        "world_view": partial(verdict_on, "view_true"),
        "world_deduction": partial(verdict_on, "deduction"),
        "world_mapping": partial(verdict_on, "mapping"),
        "world_consistency": partial(verdict_on, "consistent"),
        "world_support": partial(verdict_on, "support"),
        "world_rrr": partial(verdict_on, "rrr"),
        "world_cue": cue,
        "world_parse": parses,
    }
)
