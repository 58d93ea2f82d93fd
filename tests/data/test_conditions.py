"""Conditions: laws of permutations, what stays as it was, and what is refused."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrl.data.conditions import check, order, see
from mmrl.data.templates import messages
from mmrl.types import Media, Message
from tests import tiny

PERMUTATIONS = ("full", "reversed", "shuffled")


def shown(condition, example=None, frames=8, seed=0, number=0):
    """The clip of an example of a clip and an image, under a condition."""
    _, (clip, _) = see(condition, example or tiny.example(), (tiny.clip(number, frames), tiny.image()), seed)
    return clip


@given(st.sampled_from(PERMUTATIONS), st.integers(1, 64), st.text())
def test_a_permutation_keeps_every_frame_once(condition, count, key):
    assert sorted(order(condition, count, key)) == list(range(count))


@given(st.integers(1, 64), st.text())
def test_reversed_twice_is_as_it_was(count, key):
    once = order("reversed", count, key)
    assert list(once[once]) == list(range(count))


@pytest.mark.parametrize("condition", PERMUTATIONS)
def test_frames_and_their_numbers_stay_together_and_moments_stay(condition):
    before, after = tiny.clip(0, 8), shown(condition)
    pixels = {int(i): frame.tobytes() for i, frame in zip(before.indices, before.frames, strict=True)}
    assert Counter(frame.tobytes() for frame in after.frames) == Counter(pixels.values())
    assert all(pixels[int(i)] == frame.tobytes() for i, frame in zip(after.indices, after.frames, strict=True))
    assert list(after.timestamps) == list(before.timestamps)
    assert after.sampled_fps == before.sampled_fps


def test_reversed_starts_with_the_last_frame():
    assert list(shown("reversed").indices) == [7, 6, 5, 4, 3, 2, 1, 0]


def test_the_order_is_a_function_of_seed_example_and_clip():
    one = list(shown("shuffled").indices)
    assert one != list(range(8))
    assert one == list(shown("shuffled").indices)
    assert one != list(shown("shuffled", tiny.example("another")).indices)
    assert one != list(shown("shuffled", seed=1).indices)
    twins = (tiny.clip(0, 8), tiny.clip(0, 8))
    _, (first, second) = see("shuffled", tiny.example(kinds=("video", "video")), twins, 0)
    assert list(first.indices) != list(second.indices)


def test_the_last_frame_stands_everywhere_and_lasts_as_long():
    before, after = tiny.clip(0, 8), shown("last_frame")
    assert list(after.indices) == [7] * 8
    assert all((frame == before.frames[-1]).all() for frame in after.frames)
    assert after.sampled_fps == before.sampled_fps


def test_without_video_images_question_and_options_stay():
    example, media = see("no_video", tiny.example(), (tiny.clip(), tiny.image()), 0)
    assert [each.kind for each in example.media] == ["image"]
    assert len(media) == 1
    assert (media[0] == tiny.image()).all()
    (asked,), (before,) = messages(example, "plain"), messages(tiny.example(), "plain")
    assert [part for part in before.content if isinstance(part, str)] == [
        part for part in asked.content if isinstance(part, str)
    ]


def test_without_video_a_ready_made_chat_loses_it_too():
    film, photo = Media("video", Path("v")), Media("image", Path("i"))
    chat = (Message("user", (film, photo, "what next")), Message("user", ("and then", film)))
    example, media = see(
        "no_video", replace(tiny.example(), messages=chat), (tiny.clip(), tiny.image(), tiny.clip()), 0
    )
    assert example.messages == (Message("user", (photo, "what next")), Message("user", ("and then",)))
    assert len(media) == 1


@pytest.mark.parametrize("condition", ["full", "no_video", "last_frame", "reversed", "shuffled"])
def test_an_example_without_video_is_shown_as_it_is(condition):
    example, picture = tiny.example(kinds=("image",)), tiny.image()
    seen, (same,) = see(condition, example, (picture,), 0)
    assert seen == example
    assert same is picture


def test_full_hands_on_what_was_decoded():
    media = (tiny.clip(), tiny.image())
    example, same = see("full", tiny.example(), media, 0)
    assert all(a is b for a, b in zip(same, media, strict=True))
    assert example == tiny.example()


def test_nothing_writes_into_what_others_see_too():
    clip = tiny.clip(0, 8)
    before = clip.frames.copy()
    for condition in ("last_frame", "reversed", "shuffled"):
        _, (other,) = see(condition, tiny.example(kinds=("video",)), (clip,), 0)
        assert not np.shares_memory(other.frames, clip.frames)
    assert (clip.frames == before).all()


def test_a_condition_that_would_change_nothing_is_refused():
    images = [tiny.example("a", ("image",)), tiny.example("b", ())]
    with pytest.raises(ValueError, match=r"L1: condition 'shuffled' expected examples with videos, found none"):
        check("shuffled", images, "L1")
    check("full", images, "L1")
    check("shuffled", [*images, tiny.example("c")], "L1")
