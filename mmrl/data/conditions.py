"""Conditions change a question or its media, to measure what a model's answers depend on.

A condition is a name; two of the names take a number. Some conditions change the question before anything is decoded
(`change_questions`), some change the decoded frames (`change_media`), one changes the number of frames
(`frame_choice_under`). Everything else stays as it is.

    full              no change
    blind             no media; the prompt has no placeholders
    options_only      no media and no question: the options alone
    observation_only  no video; images stay (SEED-Bench-R1's picture of the present)
    video_only        no images; videos stay
    swap              the video of another item of the set, from another cluster if there is one
    first_frame, middle_frame, last_frame
                      this frame replaces all others: as many frames, tokens and seconds, but nothing happens
    freeze            the middle frame replaces all frames after it
    reversed          frames last to first
    shuffled          frames in an order that (seed, example id, index of the clip) decides; never the true order
    noise             each frame is one grey, the mean of its clip: as many tokens, no content
    rotate:K          options moved K places up, the first K to the end; the gold letter moves with its text
    frames:K          K frames, instead of the number that the frame choice gives
    path.py:function  your own: ``function(example, media, seed)`` returns the media to show instead, as many of the same
                      kinds in the same order: a `Clip` for a video, an array [h w 3] of uint8 for an image; it receives
                      copies

The time stamps keep their order when frames are moved, so that a model that gets time stamps learns nothing from them. An
example to which a condition does not apply (no video, nothing to leave out) stays as it is: some rows have no video
("nothing has been done yet"), and leaving them out would compare different questions. `check_condition` refuses a set in
which a condition would change nothing.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import cycle
from string import ascii_lowercase
from typing import Any

import numpy as np
from jaxtyping import Int

from mmrl.data.media.frame_choice import FrameChoice
from mmrl.data.media.video import Clip
from mmrl.data.options import shuffled
from mmrl.runtime.user_code import is_spec, load_validated
from mmrl.types import Example, Media, Message, index_of, letter_at

Condition = str
OR_YOUR_OWN = "or your own as path.py:function"

QUESTION_CONDITIONS = ("blind", "options_only", "observation_only", "video_only", "swap")  # change the question
FRAME_CONDITIONS = (
    "first_frame",
    "middle_frame",
    "last_frame",
    "freeze",
    "reversed",
    "shuffled",
    "noise",
)  # change its frames
COUNTED = ("rotate", "frames")  # these take a number
NAMES = ("full", *QUESTION_CONDITIONS, *FRAME_CONDITIONS, *(f"{name}:K" for name in COUNTED))
NEEDS = {  # what at least one example must have, so that the condition changes something
    **dict.fromkeys(("swap", "observation_only", "frames", *FRAME_CONDITIONS), "videos"),
    "video_only": "images",
    "blind": "media",
    "options_only": "a question",
    "rotate": "options",
}


def known_condition(condition: str) -> Condition:
    """Return the condition. Raises ValueError for an unknown name, with a list of all, and for an invalid user's condition."""
    if is_spec(condition):
        own_condition(condition)
        return condition
    name, number = name_and_number(condition)
    if not (number if name in COUNTED else condition in ("full", *QUESTION_CONDITIONS, *FRAME_CONDITIONS)):
        raise ValueError(
            f"condition: expected one of {', '.join(NAMES)} (K from 1), {OR_YOUR_OWN}; found {condition!r}"
        )
    return condition


def own_condition(
    spec: Condition,
) -> Callable[[Example, Sequence[Clip | np.ndarray], int], Sequence[Clip | np.ndarray]]:
    """Return a user's condition. Raises ValueError unless it is a function of (example, media, seed)."""
    function = load_validated(spec, "condition")
    if not callable(function):
        raise ValueError(f"condition {spec!r}: expected a function, found {type(function).__name__}")
    try:
        inspect.signature(function).bind(None, (), 0)
    except TypeError as error:
        raise ValueError(f"condition {spec!r}: expected a function of (example, media, seed), found {error}") from None
    return function


def name_and_number(condition: Condition) -> tuple[str, int | None]:
    """Return a condition's name and number; None if it has no number, 0 if the number is not valid."""
    name, sign, number = condition.partition(":")
    if not sign:
        return name, None
    return name, int(number) if number.isascii() and number.isdigit() else 0


def change_questions(condition: Condition, examples: Sequence[Example], seed: int) -> list[Example]:
    """Return the examples with their questions changed by a condition: same ids, same order.

    Raises ValueError if the condition cannot change an example.
    """
    name, number = name_and_number(known_condition(condition))
    if name == "swap":
        return swapped(examples, seed)
    changes: dict[str, Callable[[Example], Example]] = {
        "blind": lambda example: keeping(example, ()),
        "options_only": lambda example: replace(keeping(written(example, condition), ()), question=""),
        "observation_only": lambda example: keeping(example, ("image",)),
        "video_only": lambda example: keeping(example, ("video",)),
        "rotate": lambda example: rotated(written(example, condition), number),
    }
    return [changes[name](example) for example in examples] if name in changes else list(examples)


def change_media(
    condition: Condition, example: Example, media: Sequence[Clip | np.ndarray], seed: int
) -> tuple[Clip | np.ndarray, ...]:
    """Return the decoded media changed by a condition, in order; ``example`` comes from ``change_questions``."""
    if is_spec(condition):
        return as_shown(condition, media, own_condition(condition)(example, tuple(map(deepcopy, media)), seed))
    if condition not in FRAME_CONDITIONS:
        return tuple(media)
    return tuple(
        changed(condition, medium, f"{seed}\0{example.id}\0{number}") if isinstance(medium, Clip) else medium
        for number, medium in enumerate(media)
    )


def as_shown(spec: Condition, before: Sequence[Clip | np.ndarray], after: Any) -> tuple[Clip | np.ndarray, ...]:
    """Return the media that a user's condition returned. Raises ValueError unless number and kinds are those of ``before``."""
    expected = [type_name(medium) for medium in before]
    found = [type_name(medium) for medium in after] if isinstance(after, list | tuple) else type(after).__name__
    if expected != found:
        raise ValueError(f"condition {spec!r}: expected media of the kinds {expected}, as before; found {found}")
    return tuple(after)


def type_name(medium: Any) -> str:
    """Return the type of a medium and the dtype of its pixels, for messages."""
    pixels = medium.frames if isinstance(medium, Clip) else medium
    return f"{type(medium).__name__} of {getattr(pixels, 'dtype', 'no pixels')}"


def frame_choice_under(condition: Condition, choice: FrameChoice) -> FrameChoice:
    """Return the frame choice under a condition."""
    name, number = name_and_number(condition)
    return replace(choice, count=number) if name == "frames" else choice


def check_condition(condition: Condition, examples: Iterable[Example], where: str) -> None:
    """Raise ValueError if a condition would change nothing, because no example has what it changes."""
    name, _ = name_and_number(known_condition(condition))
    needed = "media" if is_spec(condition) else NEEDS.get(name)
    if needed and not any(has(example, needed) for example in examples):
        raise ValueError(f"{where}: condition {condition!r} expected examples with {needed}, found none; leave it full")


def has(example: Example, needed: str) -> bool:
    """Return True if an example has what a condition changes, one of the values of NEEDS."""
    if needed in ("a question", "options"):
        return bool(example.question) if needed == "a question" else len(example.choices) > 1
    return any(needed in ("media", f"{medium.kind}s") for medium in example.every_media)


def changed(name: str, clip: Clip, key: str) -> Clip:
    """Return a clip with its frames changed by a condition."""
    if name == "noise":
        grey = np.uint8(round(float(clip.frames.mean())))
        return replace(clip, frames=np.full_like(clip.frames, grey))
    places = order(name, len(clip.indices), key)
    return replace(clip, frames=clip.frames[places], indices=clip.indices[places])


def order(name: str, count: int, key: str) -> Int[np.ndarray, " f"]:
    """Return the index of the frame to show at each of ``count`` positions."""
    places = np.arange(count)
    middle = (count - 1) // 2
    if name == "shuffled":
        mixed = np.array([int(place) for place in shuffled([str(place) for place in places], key)])
        return np.roll(mixed, 1) if (mixed == places).all() else mixed
    return {
        "first_frame": np.zeros_like(places),
        "middle_frame": np.full(count, middle),
        "last_frame": np.full(count, count - 1),
        "freeze": np.minimum(places, middle),
        "reversed": places[::-1],
    }.get(name, places)


def rotated(example: Example, places: int) -> Example:
    """Return the example with its options and the gold letter rotated; an example without options stays as it is."""
    count = len(example.choices)
    if count < 2 or example.answer is None:
        return example
    turn = places % count
    gold = (index_of(example.answer.strip()) - turn) % count
    choices, letter = example.choices[turn:] + example.choices[:turn], letter_at(gold)
    return replace(example, choices=choices, answer=letter, fields=relettered(example.fields, choices, letter))


def relettered(fields: Mapping[str, Any], choices: Sequence[str], gold: str) -> dict[str, Any]:
    """Return the row's fields with new options and gold letter in SEED-Bench-R1's own fields, for graders that use these."""
    named = {f"choice_{letter}": choice for letter, choice in zip(ascii_lowercase, choices, strict=False)}
    return {**fields, **{key: value for key, value in (named | {"golden_choice_idx": gold}).items() if key in fields}}


def swapped(examples: Sequence[Example], seed: int) -> list[Example]:
    """Return each example with the videos of the next example that has other videos, in an order that (seed, id) decides."""
    films = {example.id: example for example in examples if videos(example)}
    ring = [films[name] for name in shuffled(list(films), str(seed))]
    place = {example.id: index for index, example in enumerate(ring)}
    return [
        lent(example, donor(example, ring, place[example.id])) if example.id in place else example
        for example in examples
    ]


def donor(example: Example, ring: Sequence[Example], place: int) -> Example:
    """Return the next example in the ring that shares no video, from another cluster if there is one."""
    own, second = {video.path for video in videos(example)}, None
    for step in range(1, len(ring)):
        other = ring[(place + step) % len(ring)]
        if own.isdisjoint(video.path for video in videos(other)):
            if other.cluster != example.cluster:
                return other
            second = second or other
    if second is None:
        raise ValueError(f"example {example.id}: condition 'swap' expected another item with another video, found none")
    return second


def videos(example: Example) -> list[Media]:
    """Return the videos of an example."""
    return [medium for medium in example.every_media if medium.kind == "video"]


def lent(example: Example, other: Example) -> Example:
    """Return an example with the videos of another; they repeat from the first if the other has fewer."""
    films = cycle(videos(other))
    return replaced(example, lambda medium: next(films) if medium.kind == "video" else medium)


def keeping(example: Example, kinds: tuple[str, ...]) -> Example:
    """Return the example with media of these kinds only, also in a ready-made chat."""
    return replaced(example, lambda medium: medium if medium.kind in kinds else None)


def replaced(example: Example, change: Callable[[Media], Media | None]) -> Example:
    """Return the example with ``change`` applied to each medium, also in the messages of a ready-made chat; None removes it."""
    if not example.messages:
        return replace(example, media=tuple(filter(None, map(change, example.media))))
    messages = []
    for message in example.messages:
        content = [change(part) if isinstance(part, Media) else part for part in message.content]
        messages.append(Message(message.role, tuple(part for part in content if part is not None)))
    return replace(example, messages=tuple(messages), media=())


def written(example: Example, condition: Condition) -> Example:
    """Return the example. Raises ValueError for a ready-made chat, whose question and options cannot be separated."""
    if example.messages:
        expected = f"condition {condition!r} expected a question and options"
        raise ValueError(f"example {example.id}: {expected}, found a ready-made chat")
    return example
