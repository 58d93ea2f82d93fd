"""What a model is shown of an example's videos: all of it, or less, to see whether its answers depend on it.

A condition changes what is seen and nothing else: question, options, images and gold stay. An example without a video
is shown as it is under every condition, because rows without one ("nothing has been done yet") stand among the others
and leaving them out would compare different questions. A set in which no example has a video is another matter: there
the condition would be no condition, and ``check`` refuses it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Int

from mmrl.data.options import shuffled
from mmrl.data.video import Clip
from mmrl.types import Example, Media, Message

Condition = Literal["full", "no_video", "last_frame", "reversed", "shuffled"]
Seen = tuple[Example, tuple[Clip | np.ndarray, ...]]  # the example as it is asked, and its media, decoded


def see(condition: Condition, example: Example, media: Sequence[Clip | np.ndarray], seed: int) -> Seen:
    """The example and its loaded media (in the order of ``example.every_media``) as a condition shows them.

    full        as they are
    no_video    images only; the prompt has no place for a video
    last_frame  the last frame in the place of all others: as many frames, tokens and seconds, but nothing happens
    reversed    frames last to first
    shuffled    frames in an order that (seed, example id, which of its clips) decides

    The moments at which frames are shown stay, so that the clock of a model that is told the time says nothing of it.
    """
    if condition == "full":
        return example, tuple(media)
    if condition == "no_video":
        return without_video(example), tuple(medium for medium in media if not isinstance(medium, Clip))
    keys = (f"{seed}\0{example.id}\0{number}" for number in range(len(media)))
    changed = (
        rearranged(medium, order(condition, len(medium.indices), key)) if isinstance(medium, Clip) else medium
        for medium, key in zip(media, keys, strict=True)
    )
    return example, tuple(changed)


def order(condition: Condition, count: int, key: str) -> Int[np.ndarray, " f"]:
    """Which of ``count`` frames stands in each place."""
    places = np.arange(count)
    if condition == "last_frame":
        return np.full(count, count - 1)
    if condition == "reversed":
        return places[::-1]
    if condition == "shuffled":
        return np.array([int(place) for place in shuffled([str(place) for place in places], key)])
    return places


def rearranged(clip: Clip, order: Int[np.ndarray, " f"]) -> Clip:
    """Other frames at the same moments; ``indices`` say which of the file's they are."""
    return replace(clip, frames=clip.frames[order], indices=clip.indices[order])


def without_video(example: Example) -> Example:
    """The example without its videos, also in a ready-made chat."""
    messages = (Message(m.role, tuple(part for part in m.content if not is_video(part))) for m in example.messages)
    return replace(example, media=tuple(each for each in example.media if not is_video(each)), messages=tuple(messages))


def is_video(part: str | Media) -> bool:
    """Whether a part of a prompt is a video."""
    return isinstance(part, Media) and part.kind == "video"


def check(condition: Condition, examples: Iterable[Example], where: str) -> None:
    """Raise a ValueError where a condition on videos would change nothing, because no example has one."""
    if condition != "full" and not any(is_video(medium) for example in examples for medium in example.every_media):
        raise ValueError(f"{where}: condition {condition!r} expected examples with videos, found none; leave it full")
