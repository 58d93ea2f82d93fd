"""Choose which frames of a video the model gets.

The conventions of other projects differ: a choice of 8 from 60 frames ends at frame 59, 56, 53, 52 or 49. The default
includes the last frame, which questions about the next step need.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

Convention = Literal["linspace", "arange", "floor", "inner", "stride", "centre"]
CONVENTIONS: tuple[Convention, ...] = ("linspace", "arange", "floor", "inner", "stride", "centre")
LARGEST_STEADY_GAP = 1.5  # times the smallest gap; a dropped frame gives 2, rounding to milliseconds gives less
ROUNDING = 0.01  # frames; rates come from rounded time stamps, so 15.9999 frames count as 16


@dataclass(frozen=True)
class FrameChoice:
    """How many frames, and which.

    The defaults are GRPO-CARE's training input (qwen-vl-utils' rule, at most 16 frames).
    """

    fps: float = 2.0
    """Frames that are shown for each second of video."""
    min_frames: int = 4
    """The fewest frames that are shown."""
    max_frames: int = 16
    """The most frames that are shown."""
    multiple: int = 2
    """The number of frames is rounded down to a multiple of this, because models read frames in such groups."""
    count: int | None = None
    """This many frames, whatever the length; a shorter clip shows frames more than once. null goes by fps."""
    convention: Convention = "linspace"
    """Which frames of the clip are shown: linspace from the first to the last; the others are conventions of other projects."""

    def __post_init__(self) -> None:
        if not self.fps > 0:
            raise ValueError(f"frames.fps: expected a number above 0, found {self.fps}")
        for name, number in (("multiple", self.multiple), ("min_frames", self.min_frames)):
            if number < 1:
                raise ValueError(f"frames.{name}: expected 1 or more, found {number}")
        least, advice = _up(self.min_frames, self.multiple), "raise max_frames or lower min_frames"
        if least > _down(self.max_frames, self.multiple):
            expected = f"expected {least} or more (min_frames)"
            raise ValueError(f"frames.max_frames: {expected}, found {self.max_frames}; {advice}")
        if self.count is not None and self.count < 1:
            raise ValueError(f"frames.count: expected 1 or more (or none), found {self.count}")
        if self.convention not in CONVENTIONS:
            raise ValueError(f"frames.convention: expected one of {', '.join(CONVENTIONS)}, found {self.convention!r}")


def frame_count(total: int, fps: float, choice: FrameChoice) -> int:
    """Return how many of ``total`` frames at ``fps`` are chosen.

    It is ``choice.count`` if that is set. Else it is duration times ``choice.fps``, not below the minimum, not above the
    maximum or the total, rounded down to the multiple (qwen-vl-utils 0.0.14); all frames if the clip is shorter than that.
    """
    if choice.count is not None:
        return choice.count
    wanted = total / fps * choice.fps
    wanted = max(wanted, _up(choice.min_frames, choice.multiple))
    wanted = min(wanted, _down(choice.max_frames, choice.multiple), total)
    return _down(wanted, choice.multiple) or total


def choose(
    total: int, fps: float, choice: FrameChoice, seconds: Float[np.ndarray, " total"] | None = None
) -> Int[np.ndarray, " f"]:
    """Return the indices of the chosen frames, ascending.

    With ``seconds`` (the time of each frame) the choice is made in time: the convention chooses among ``total`` equally
    spaced moments, and the frame nearest to each moment is taken. At a constant rate the result is the same.
    """
    if total < 1:
        raise ValueError(f"choose: expected a clip of 1 frame or more, found {total}")
    indices = frame_indices(total, frame_count(total, fps, choice), choice.convention)
    if seconds is None:
        return indices
    moments = np.linspace(seconds[0], seconds[-1], total)[indices]
    return nearest(seconds, moments)


def frame_indices(total: int, n: int, convention: Convention) -> Int[np.ndarray, " n"]:
    """Return ``n`` indices below ``total``, ascending.

    The conventions are used by: qwen-vl-utils, Qwen3-VL and lmms-eval (linspace), Qwen2-VL and Qwen2.5-VL in transformers
    (arange), transformers' base sampler (floor), VLMEvalKit (inner), LongVideoBench (stride), TSN and VSI-Bench (centre).
    Raises ValueError if stride has fewer than ``n`` frames.
    """
    steps = np.arange(n)
    if convention == "linspace":
        return np.linspace(0, total - 1, n).round().astype(np.int64)
    if convention == "arange":
        return (steps * (total / n)).astype(np.int64)
    if convention == "floor":
        return steps * total // n
    if convention == "inner":
        return ((steps + 1) * (total / (n + 1))).astype(np.int64)
    if convention == "centre":
        edges = np.linspace(0, total, n + 1).astype(np.int64)
        return np.minimum((edges[:-1] + edges[1:]) // 2, total - 1)
    if total < n:
        raise ValueError(f"frames.convention: stride expects {n} frames or more, found {total}; take linspace")
    return total // n * steps


def nearest(seconds: Float[np.ndarray, " total"], moments: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Return the index of the frame nearest in time to each moment; if two are equally near, the earlier one."""
    after = np.minimum(np.searchsorted(seconds, moments), len(seconds) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(moments - seconds[before] <= seconds[after] - moments, before, after)


def has_variable_rate(seconds: Float[np.ndarray, " total"]) -> bool:
    """Return True if the frame rate is variable; ``seconds`` is the time of each frame."""
    if len(seconds) < 3:
        return False
    gaps = np.diff(seconds)
    return bool(gaps.max() > LARGEST_STEADY_GAP * gaps.min())


def _up(number: float, multiple: int) -> int:
    return int(-(-number // multiple) * multiple)


def _down(number: float, multiple: int) -> int:
    return int((number + ROUNDING) // multiple * multiple)
