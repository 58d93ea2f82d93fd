"""Conditions change what a model is shown and told of a question, to see what its answers depend on.

A condition is a name, for two of them with a number. Some change the question before anything is decoded (`asked`), some
the frames behind the decoder (`see`), one how many frames there are (`frame_choice_under`); everything else stays as it is.

    full              as it is
    blind             no media; the prompt has no place for them
    options_only      no media and no question: the options alone
    observation_only  no video; images stay (SEED-Bench-R1's picture of the present)
    video_only        no images; videos stay
    swap              the video of another item of the set, of another cluster where there is one
    first_frame, middle_frame, last_frame
                      this frame in the place of all others: as many frames, tokens and seconds, but nothing happens
    freeze            from the middle on, the frame at the middle
    reversed          frames last to first
    shuffled          frames in an order that (seed, example id, which of its clips) decides; never the true one
    noise             each frame one grey, the mean of its clip: as many tokens, nothing to see
    rotate:K          options moved K places up, the first K to the end; the gold letter moves with its text
    frames:K          K frames, whatever the frame choice says otherwise
    path.py:function  your own: ``function(example, media, seed)`` returns the media to show in the place of those, as many of
                      the same kinds in the same order: a `Clip` for a video, an array [h w 3] of uint8 for an image; it is given
                      copies

Frames that are moved are shown at the moments at which others were, so that the clock of a model that is told the time says
nothing. An example that a condition does not apply to (no video, nothing to leave out) is shown as it is, because rows
without a video ("nothing has been done yet") stand among the others and leaving them out would compare different
questions. A set in which a condition would change nothing is another matter: `check_condition` refuses it.
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
COUNTED = ("rotate", "frames")  # take a number
NAMES = ("full", *QUESTION_CONDITIONS, *FRAME_CONDITIONS, *(f"{name}:K" for name in COUNTED))
NEEDS = {  # what some example must have for the condition to be one
    **dict.fromkeys(("swap", "observation_only", "frames", *FRAME_CONDITIONS), "videos"),
    "video_only": "images",
    "blind": "media",
    "options_only": "a question",
    "rotate": "options",
}


def known_condition(condition: str) -> Condition:
    """Return the condition. Raises a ValueError that lists those there are, or says what is wrong with one's own."""
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
    """Return a user's condition. Raises ValueError for what is no function of an example, its media and a seed."""
    function = load_validated(spec, "condition")
    if not callable(function):
        raise ValueError(f"condition {spec!r}: expected a function, found {type(function).__name__}")
    try:
        inspect.signature(function).bind(None, (), 0)
    except TypeError as error:
        raise ValueError(f"condition {spec!r}: expected a function of (example, media, seed), found {error}") from None
    return function


def name_and_number(condition: Condition) -> tuple[str, int | None]:
    """Return the name of a condition and its number, 0 for what is none."""
    name, sign, number = condition.partition(":")
    if not sign:
        return name, None
    return name, int(number) if number.isascii() and number.isdigit() else 0


def change_questions(condition: Condition, examples: Sequence[Example], seed: int) -> list[Example]:
    """Return the examples as a condition asks them: same ids, in the same order. Raises ValueError where it cannot."""
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
    """Return the loaded media of an example that is already ``asked``, in its order, as a condition shows them."""
    if is_spec(condition):
        return as_shown(condition, media, own_condition(condition)(example, tuple(map(deepcopy, media)), seed))
    if condition not in FRAME_CONDITIONS:
        return tuple(media)
    return tuple(
        changed(condition, medium, f"{seed}\0{example.id}\0{number}") if isinstance(medium, Clip) else medium
        for number, medium in enumerate(media)
    )


def as_shown(spec: Condition, before: Sequence[Clip | np.ndarray], after: Any) -> tuple[Clip | np.ndarray, ...]:
    """Return what a user's condition made of some media. Raises ValueError unless it is as many of the same kinds."""
    expected = [sort_of(medium) for medium in before]
    found = [sort_of(medium) for medium in after] if isinstance(after, list | tuple) else type(after).__name__
    if expected != found:
        raise ValueError(f"condition {spec!r}: expected media of the kinds {expected}, as before; found {found}")
    return tuple(after)


def sort_of(medium: Any) -> str:
    """Return the type of a medium and of its numbers."""
    pixels = medium.frames if isinstance(medium, Clip) else medium
    return f"{type(medium).__name__} of {getattr(pixels, 'dtype', 'no pixels')}"


def frame_choice_under(condition: Condition, choice: FrameChoice) -> FrameChoice:
    """Return the frame choice under a condition."""
    name, number = name_and_number(condition)
    return replace(choice, count=number) if name == "frames" else choice


def check_condition(condition: Condition, examples: Iterable[Example], where: str) -> None:
    """Raise a ValueError where a condition would change nothing, because no example has what it changes."""
    name, _ = name_and_number(known_condition(condition))
    wanted = "media" if is_spec(condition) else NEEDS.get(name)
    if wanted and not any(has(example, wanted) for example in examples):
        raise ValueError(f"{where}: condition {condition!r} expected examples with {wanted}, found none; leave it full")


def has(example: Example, wanted: str) -> bool:
    """Return whether an example has what a condition changes."""
    if wanted in ("a question", "options"):
        return bool(example.question) if wanted == "a question" else len(example.choices) > 1
    return any(wanted in ("media", f"{medium.kind}s") for medium in example.every_media)


def changed(name: str, clip: Clip, key: str) -> Clip:
    """Return a clip under a condition on its frames."""
    if name == "noise":
        grey = np.uint8(round(float(clip.frames.mean())))
        return replace(clip, frames=np.full_like(clip.frames, grey))
    places = order(name, len(clip.indices), key)
    return replace(clip, frames=clip.frames[places], indices=clip.indices[places])


def order(name: str, count: int, key: str) -> Int[np.ndarray, " f"]:
    """Which of ``count`` frames stands in each place."""
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
    """Return the example with its options moved up, and the gold letter with its text; without options it stays."""
    count = len(example.choices)
    if count < 2 or example.answer is None:
        return example
    turn = places % count
    gold = (index_of(example.answer.strip()) - turn) % count
    choices, letter = example.choices[turn:] + example.choices[:turn], letter_at(gold)
    return replace(example, choices=choices, answer=letter, fields=relettered(example.fields, choices, letter))


def relettered(fields: Mapping[str, Any], choices: Sequence[str], gold: str) -> dict[str, Any]:
    """SEED-Bench-R1's own fields of a row that name options by letter, for graders that read rows."""
    named = {f"choice_{letter}": choice for letter, choice in zip(ascii_lowercase, choices, strict=False)}
    return {**fields, **{key: value for key, value in (named | {"golden_choice_idx": gold}).items() if key in fields}}


def swapped(examples: Sequence[Example], seed: int) -> list[Example]:
    """Return each example with the videos of the next one, in an order that (seed, id) decides, that has others."""
    films = {example.id: example for example in examples if videos(example)}
    ring = [films[name] for name in shuffled(list(films), str(seed))]
    place = {example.id: index for index, example in enumerate(ring)}
    return [
        lent(example, donor(example, ring, place[example.id])) if example.id in place else example
        for example in examples
    ]


def donor(example: Example, ring: Sequence[Example], place: int) -> Example:
    """Return the next in the ring that shares no video with an example, of another cluster if there is one."""
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
    """Return an example with the videos of another, from the first again where that has fewer."""
    films = cycle(videos(other))
    return replaced(example, lambda medium: next(films) if medium.kind == "video" else medium)


def keeping(example: Example, kinds: tuple[str, ...]) -> Example:
    """Return the example without media of other kinds, also in a ready-made chat."""
    return replaced(example, lambda medium: medium if medium.kind in kinds else None)


def replaced(example: Example, change: Callable[[Media], Media | None]) -> Example:
    """Return the example with other media, or fewer; of a ready-made chat those in its messages."""
    if not example.messages:
        return replace(example, media=tuple(filter(None, map(change, example.media))))
    messages = []
    for message in example.messages:
        content = [change(part) if isinstance(part, Media) else part for part in message.content]
        messages.append(Message(message.role, tuple(part for part in content if part is not None)))
    return replace(example, messages=tuple(messages), media=())


def written(example: Example, condition: Condition) -> Example:
    """Return the example, whose words must be the template's: those of a ready-made chat cannot be told apart."""
    if example.messages:
        expected = f"condition {condition!r} expected a question and options"
        raise ValueError(f"example {example.id}: {expected}, found a ready-made chat")
    return example
