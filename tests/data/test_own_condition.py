"""A condition of a user's own: equal to one of mmrl's where it does the same, and what it must return."""

import numpy as np
import pytest

from mmrl.data.conditions import change_media, change_questions, check_condition, frame_choice_under, known_condition
from mmrl.data.media.frame_choice import FrameChoice
from tests import tiny_models
from tests.own_code import own

CODE = '''
from dataclasses import replace
from mmrl.data.media.video import Clip

def backwards(example, media, seed):
    """The frames last to first."""
    return [replace(m, frames=m.frames[::-1], indices=m.indices[::-1]) if isinstance(m, Clip) else m for m in media]

def seeded(example, media, seed):
    assert (example.id, seed) == ("a", 7)
    return media

def fewer(example, media, seed):
    return media[:1]

def nothing(example, media, seed):
    for medium in media:
        (medium.frames if isinstance(medium, Clip) else medium)[:] = 0

def floats(example, media, seed):
    return [replace(m, frames=m.frames / 255) if isinstance(m, Clip) else m for m in media]

def stills(example, media, seed):
    return [medium.frames[0] if isinstance(medium, Clip) else medium for medium in media]
'''
MEDIA = (tiny_models.clip(0, 8), tiny_models.image())


@pytest.fixture
def path(tmp_path):
    return own(tmp_path, "mine.py", CODE)


def test_reversed_in_a_file_is_reversed(path):
    made, theirs = (change_media(name, tiny_models.example(), MEDIA, 0) for name in (f"{path}:backwards", "reversed"))
    assert np.array_equal(made[0].frames, theirs[0].frames)
    assert np.array_equal(made[0].indices, theirs[0].indices)
    assert made[0].frames.tobytes() != MEDIA[0].frames.tobytes()
    assert np.array_equal(made[1], MEDIA[1])


def test_it_is_told_the_example_and_the_seed(path):
    clip, picture = change_media(f"{path}:seeded", tiny_models.example("a"), MEDIA, 7)
    assert np.array_equal(clip.frames, MEDIA[0].frames)
    assert np.array_equal(picture, MEDIA[1])


def test_words_and_frame_choice_stay(path):
    spec = known_condition(f"{path}:backwards")
    example = tiny_models.example()
    assert change_questions(spec, [example], 0) == [example]
    assert frame_choice_under(spec, FrameChoice(fps=1.0)) == FrameChoice(fps=1.0)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("fewer", "['Clip of uint8']"),
        ("stills", "['ndarray of uint8', 'ndarray of uint8']"),
        ("floats", "['Clip of float64', 'ndarray of uint8']"),
        ("nothing", "NoneType"),
    ],
)
def test_other_media_than_before_are_refused(path, name, found):
    with pytest.raises(ValueError, match="expected media of the kinds") as caught:
        change_media(f"{path}:{name}", tiny_models.example(), MEDIA, 0)
    assert str(caught.value).endswith(
        f":{name}': expected media of the kinds ['Clip of uint8', 'ndarray of uint8'], as before; found {found}"
    )


def test_what_is_changed_in_place_is_a_copy(path):
    before = MEDIA[0].frames.copy(), MEDIA[1].copy()
    with pytest.raises(ValueError, match="found NoneType"):
        change_media(f"{path}:nothing", tiny_models.example(), MEDIA, 0)
    assert np.array_equal(MEDIA[0].frames, before[0])
    assert np.array_equal(MEDIA[1], before[1])
    assert before[1].any()


def test_a_set_without_media_is_refused(path):
    with pytest.raises(ValueError, match="expected examples with media, found none"):
        check_condition(f"{path}:backwards", [tiny_models.example("b", ())], "L1")
    check_condition(f"{path}:backwards", [tiny_models.example("b", ("image",))], "L1")
