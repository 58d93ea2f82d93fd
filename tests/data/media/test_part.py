"""A part of a video is looked at as if it were a file."""

import numpy as np
import pytest

from mmrl.data.media.frame_cache import packed, unpacked
from mmrl.data.media.preflight import preflight
from mmrl.data.media.reader import MediaReader
from mmrl.data.media.video import FrameChoice, MediaError, decode
from mmrl.types import Example, Media, Span
from tests.data.conftest import number_of

FOUR = FrameChoice(count=4)


def test_the_frames_of_a_part_are_those_of_the_file_and_both_ends_belong_to_it(clip_path):
    clip = decode(clip_path, FOUR, "pyav", (10, 40, "frames"))
    assert [number_of(frame) for frame in clip.frames] == [10, 20, 30, 40] == list(clip.indices)
    assert (clip.first, clip.total) == (10, 31)
    np.testing.assert_allclose(clip.timestamps, [0, 1 / 3, 2 / 3, 1], atol=1e-3)


def test_seconds_and_frames_name_the_same_part(clip_path):
    by_frame = decode(clip_path, FOUR, "pyav", (15, 45, "frames"))
    by_time = decode(clip_path, FOUR, "pyav", (0.5, 1.5, "seconds"))  # 30 frames a second
    np.testing.assert_array_equal(by_frame.indices, by_time.indices)
    np.testing.assert_array_equal(by_frame.frames, by_time.frames)


def test_an_end_behind_the_last_frame_is_the_last_frame_as_in_the_public_loaders(clip_path):
    assert decode(clip_path, FOUR, "pyav", (1.0, 90.0, "seconds")).indices[-1] == 59


def test_a_part_as_long_as_its_file_changes_nothing(clip_path):
    whole, part = decode(clip_path, FOUR, "pyav"), decode(clip_path, FOUR, "pyav", (0, 59, "frames"))
    assert (whole.total, whole.first, whole.sampled_fps) == (part.total, part.first, part.sampled_fps)
    np.testing.assert_array_equal(whole.timestamps, part.timestamps)


def test_a_part_behind_the_end_is_an_error_that_says_where_the_video_ends(clip_path):
    with pytest.raises(MediaError, match=r"frames from 5 to 6 seconds.*60 frames, the last at 1.967 s"):
        decode(clip_path, FOUR, "pyav", (5, 6, "seconds"))


def test_two_parts_of_a_file_are_kept_apart_by_the_reader_and_by_the_preflight(clip_path):
    media = [Media("video", clip_path.relative_to(clip_path.parent), Span(n, n + 10, "frames")) for n in (0, 30, 70)]
    examples = [Example(str(number), "?", media=(medium,)) for number, medium in enumerate(media)]
    with MediaReader(clip_path.parent, FOUR, workers=0) as reader:
        (first,), (second,) = reader.load(examples[0]), reader.load(examples[1])
        assert (first.first, second.first) == (0, 30)
        assert reader.load(examples[1])[0].first == 30  # from memory
    report = preflight(examples, clip_path.parent, FOUR, workers=0)
    assert (report.files, [failure.examples for failure in report.failures]) == (3, [("2",)])


def test_a_part_comes_back_from_the_disk_as_it_was_decoded(clip_path):
    clip = decode(clip_path, FOUR, "pyav", (10, 40, "frames"))
    again = unpacked(packed(clip))
    assert (again.first, again.total) == (10, 31)
    np.testing.assert_array_equal(again.timestamps, clip.timestamps)


def test_a_span_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match="0 <= start <= end, found 3 to 2 seconds"):
        Span(3, 2)
