"""Conditions: laws of permutations, what stays as it was, and what is refused."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrl.data.conditions import (
    change_media,
    change_questions,
    check_condition,
    frame_choice_under,
    known_condition,
    order,
)
from mmrl.data.media.frame_choice import FrameChoice
from mmrl.data.prompts import messages
from mmrl.types import Media, Message
from tests import tiny_models

PERMUTATIONS = ("full", "reversed", "shuffled")


def shown(condition, example=None, frames=8, seed=0, number=0):
    """The clip of an example of a clip and an image, under a condition."""
    clip, _ = change_media(
        condition, example or tiny_models.example(), (tiny_models.clip(number, frames), tiny_models.image()), seed
    )
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
    before, after = tiny_models.clip(0, 8), shown(condition)
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
    assert one != list(shown("shuffled", tiny_models.example("another")).indices)
    assert one != list(shown("shuffled", seed=1).indices)
    twins = (tiny_models.clip(0, 8), tiny_models.clip(0, 8))
    first, second = change_media("shuffled", tiny_models.example(kinds=("video", "video")), twins, 0)
    assert list(first.indices) != list(second.indices)


def test_the_last_frame_stands_everywhere_and_lasts_as_long():
    before, after = tiny_models.clip(0, 8), shown("last_frame")
    assert list(after.indices) == [7] * 8
    assert all((frame == before.frames[-1]).all() for frame in after.frames)
    assert after.sampled_fps == before.sampled_fps


@pytest.mark.parametrize(
    ("condition", "kinds"),
    [("observation_only", ["image"]), ("video_only", ["video"]), ("blind", []), ("full", ["video", "image"])],
)
def test_media_are_left_out_and_question_and_options_stay(condition, kinds):
    (example,) = change_questions(condition, [tiny_models.example()], 0)
    assert [each.kind for each in example.media] == kinds
    (after,), (before,) = messages(example, "plain"), messages(tiny_models.example(), "plain")
    words = [[part for part in each.content if isinstance(part, str)] for each in (after, before)]
    assert words[0] == words[1]


def test_a_ready_made_chat_loses_its_media_too():
    film, photo = Media("video", Path("v")), Media("image", Path("i"))
    chat = (Message("user", (film, photo, "what next")), Message("user", ("and then", film)))
    (example,) = change_questions("observation_only", [replace(tiny_models.example(), messages=chat)], 0)
    assert example.messages == (Message("user", (photo, "what next")), Message("user", ("and then",)))
    (example,) = change_questions("blind", [replace(tiny_models.example(), messages=chat)], 0)
    assert example.every_media == ()
    for condition in ("options_only", "rotate:1"):
        with pytest.raises(ValueError, match="found a ready-made chat"):
            change_questions(condition, [replace(tiny_models.example(), messages=chat)], 0)


def test_options_alone():
    (example,) = change_questions("options_only", [tiny_models.example()], 0)
    assert (example.question, example.media, example.choices) == ("", (), tiny_models.example().choices)


@given(st.integers(1, 9), st.sampled_from("ABCD"))
def test_the_gold_letter_moves_with_its_text(places, gold):
    before = replace(
        tiny_models.example(), answer=gold, fields={"choice_a": "red", "golden_choice_idx": gold, "other": 1}
    )
    (after,) = change_questions(f"rotate:{places}", [before], 0)
    assert sorted(after.choices) == sorted(before.choices)
    assert after.choices[ord(after.answer) - 65] == before.choices[ord(gold) - 65]
    assert after.choices[0] == before.choices[places % 4]
    assert after.fields == {"choice_a": after.choices[0], "golden_choice_idx": after.answer, "other": 1}


def test_all_rotations_put_the_gold_everywhere_once():
    golds = [change_questions(f"rotate:{k}", [tiny_models.example()], 0)[0].answer for k in (1, 2, 3)]
    assert sorted([*golds, tiny_models.example().answer]) == list("ABCD")


def test_a_swapped_video_is_that_of_another_item_of_another_cluster():
    items = [replace(tiny_models.example(f"e{n}"), cluster=f"c{n // 2}") for n in range(8)]
    swapped = change_questions("swap", items, 0)
    assert [one.id for one in swapped] == [one.id for one in items]
    assert swapped == change_questions("swap", items, 0) != change_questions("swap", items, 1)
    owner = {one.media[0].path: one for one in items}
    for before, after in zip(items, swapped, strict=True):
        assert owner[after.media[0].path].cluster != before.cluster
        assert after.media[1] == before.media[1]  # the image stays
        assert (after.question, after.choices, after.answer) == (before.question, before.choices, before.answer)
    with pytest.raises(ValueError, match="another video, found none"):
        change_questions("swap", [tiny_models.example("a"), replace(tiny_models.example("a"), id="b")], 0)


def test_single_frames_and_a_freeze():
    assert list(shown("first_frame").indices) == [0] * 8
    assert list(shown("middle_frame").indices) == [3] * 8
    assert list(shown("freeze").indices) == [0, 1, 2, 3, 3, 3, 3, 3]


def test_noise_is_one_grey_of_the_same_mean_and_size():
    before, after = tiny_models.clip(0, 8), shown("noise")
    assert after.frames.shape == before.frames.shape
    assert np.unique(after.frames) == pytest.approx(before.frames.mean(), abs=0.5)


def test_a_frame_count_overrides_the_choice():
    assert frame_choice_under("frames:8", FrameChoice(fps=1.0)) == FrameChoice(fps=1.0, count=8)
    assert frame_choice_under("shuffled", FrameChoice()) == FrameChoice()


@pytest.mark.parametrize("name", ["fulll", "rotate", "rotate:", "rotate:0", "frames:x", "frames:-1", "blind:2", ""])
def test_unknown_conditions_are_refused_with_those_there_are(name):
    with pytest.raises(ValueError, match=r"condition: expected one of full, blind, .*frames:K .*found '"):
        known_condition(name)


@given(st.integers(2, 64), st.text())
def test_shuffled_is_never_the_true_order(count, key):
    assert list(order("shuffled", count, key)) != list(range(count))


@pytest.mark.parametrize("condition", ["full", "observation_only", "last_frame", "reversed", "shuffled", "noise"])
def test_an_example_without_video_is_shown_as_it_is(condition):
    example, picture = tiny_models.example(kinds=("image",)), tiny_models.image()
    (seen,) = change_questions(condition, [example], 0)
    (same,) = change_media(condition, seen, (picture,), 0)
    assert seen == example
    assert same is picture


def test_full_hands_on_what_was_decoded():
    media = (tiny_models.clip(), tiny_models.image())
    same = change_media("full", tiny_models.example(), media, 0)
    assert all(a is b for a, b in zip(same, media, strict=True))


def test_nothing_writes_into_what_others_see_too():
    clip = tiny_models.clip(0, 8)
    before = clip.frames.copy()
    for condition in ("last_frame", "reversed", "shuffled", "freeze", "noise"):
        (other,) = change_media(condition, tiny_models.example(kinds=("video",)), (clip,), 0)
        assert not np.shares_memory(other.frames, clip.frames)
    assert (clip.frames == before).all()


def test_a_condition_that_would_change_nothing_is_refused():
    images = [tiny_models.example("a", ("image",)), tiny_models.example("b", ())]
    with pytest.raises(ValueError, match=r"L1: condition 'shuffled' expected examples with videos, found none"):
        check_condition("shuffled", images, "L1")
    check_condition("full", images, "L1")
    check_condition("shuffled", [*images, tiny_models.example("c")], "L1")
    check_condition("blind", images, "L1")
    with pytest.raises(ValueError, match="expected examples with images, found none"):
        check_condition("video_only", [tiny_models.example("b", ())], "L1")
