"""Which frames are looked at."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from mmrl.data.media.frame_choice import (
    CONVENTIONS,
    FrameChoice,
    choose,
    frame_count,
    frame_indices,
    has_variable_rate,
    nearest,
)


@pytest.mark.parametrize(
    ("convention", "first", "last_of_60", "last_of_300", "like_linspace"),
    [  # 8 of 60 and 16 of 300 frames; how many of the 16 agree with linspace
        ("linspace", 0, 59, 299, 16),
        ("arange", 0, 52, 281, 1),
        ("floor", 0, 52, 281, 1),
        ("inner", 6, 53, 282, 0),
        ("stride", 0, 49, 270, 1),
        ("centre", 3, 56, 290, 2),
    ],
)
def test_conventions_give_the_published_numbers(convention, first, last_of_60, last_of_300, like_linspace):
    short, long = frame_indices(60, 8, convention), frame_indices(300, 16, convention)
    assert (short[0], short[-1], long[-1]) == (first, last_of_60, last_of_300)
    assert (long == frame_indices(300, 16, "linspace")).sum() == like_linspace


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("total", [1, 2, 3, 7, 16, 17, 1000])
def test_indices_ascend_within_the_clip(convention, total):
    indices = choose(total, 30.0, FrameChoice(convention=convention))
    assert indices.min() >= 0
    assert indices.max() < total
    assert (np.diff(indices) > 0).all()


@pytest.mark.parametrize(
    ("total", "fps", "expected"),
    [
        (240, 30.0, 16),  # 8 s at 2 a second
        (240, 30.000001, 16),  # 15.9999995 are 16: rates come from rounded time stamps
        (300, 30.0, 16),  # 20, but no more than 16
        (150, 30.0, 10),
        (165, 30.0, 10),  # 11, down to a multiple of 2
        (30, 30.0, 4),  # 2, but no fewer than 4
        (3, 30.0, 2),  # no more than there are
        (1, 30.0, 1),
    ],
)
def test_count_follows_the_duration_within_bounds(total, fps, expected):
    assert frame_count(total, fps, FrameChoice()) == expected


def test_a_stated_count_is_kept_even_by_a_shorter_clip():
    assert choose(5, 30.0, FrameChoice(count=8)).tolist() == [0, 1, 1, 2, 2, 3, 3, 4]


def test_stride_refuses_a_clip_that_it_would_freeze():
    with pytest.raises(ValueError, match="stride expects 8 frames or more, found 5; take linspace"):
        choose(5, 30.0, FrameChoice(count=8, convention="stride"))


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_choosing_in_time_is_choosing_by_index_when_the_rate_is_constant(convention):
    choice = FrameChoice(convention=convention)
    assert (choose(300, 30.0, choice, np.arange(300) / 30) == choose(300, 30.0, choice)).all()


def test_choosing_in_time_spreads_frames_evenly_over_time():
    seconds = np.concatenate([np.arange(100) / 100, 1 + np.arange(10)])  # 1 s of 100 frames, then 9 s of 10
    indices = choose(110, 11.0, FrameChoice(count=11), seconds)
    assert seconds[indices].tolist() == pytest.approx(range(11), abs=0.51)
    assert (indices >= 100).sum() >= 9


def test_nearest_takes_the_frame_nearest_in_time():
    assert nearest(np.array([0.0, 1.0, 4.0]), np.array([0.0, 0.4, 0.6, 2.4, 2.6, 9.0])).tolist() == [0, 0, 1, 1, 2, 2]
    assert nearest(np.array([0.0]), np.array([0.0, 5.0])).tolist() == [0, 0]


def test_a_dropped_frame_makes_the_rate_variable_and_rounding_does_not():
    assert not has_variable_rate(np.round(np.arange(100) / 30, 3))
    assert has_variable_rate(np.delete(np.arange(100) / 30, 50))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fps": 0}, r"frames\.fps: expected a number above 0, found 0"),
        ({"min_frames": 0}, r"frames\.min_frames"),
        ({"multiple": 0}, r"frames\.multiple"),
        ({"count": 0}, r"frames\.count"),
        ({"min_frames": 3, "max_frames": 3}, r"frames\.max_frames: expected 4 or more \(min_frames\), found 3"),
    ],
)
def test_an_impossible_choice_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        FrameChoice(**wrong)


def test_an_unknown_convention_is_refused():
    with pytest.raises((ValueError, TypeCheckError), match="'random'"):
        FrameChoice(convention="random")
