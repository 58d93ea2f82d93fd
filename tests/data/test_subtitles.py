"""Subtitles of the frames that are seen."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmrl.data.media.errors import MediaError
from mmrl.data.prompts import messages
from mmrl.data.subtitles import (
    Subtitle,
    SubtitleReader,
    in_time,
    interleaved,
    listed,
    read_longvideobench,
    read_srt,
    subtitles_at,
)
from mmrl.types import Example, Media
from tests import tiny_models

FIXTURES = Path(__file__).parents[1] / "fixtures"
ASKED = Example("1", "What?", "A", choices=("a", "b"), media=(Media("video", Path("videos/v.mp4")),))
SAID = (Subtitle(0, 1, "one"), Subtitle(1, 3, "two"), Subtitle(3, 3.2, "three"), Subtitle(20, 22, "late"))


def clip_at(*moments):
    """A clip whose frames are shown at these moments."""
    clip = tiny_models.clip(0, len(moments))
    return replace(clip, timestamps=np.array(moments, dtype=float))


def test_a_subrip_file_is_read_without_its_tags():
    first, second = read_srt(FIXTURES / "videomme/subtitle/aaaaaaaaaaA.srt")
    assert first == Subtitle(0, 1, "Three boats set out.")
    assert (second.start, second.end) == (1, 9)


def test_subrip_files_from_elsewhere_are_read_too(tmp_path):
    path = tmp_path / "a.srt"
    path.write_bytes(
        "\ufeff1\r\n01:02:03,5 --> 01:02:04.250\r\nfirst\r\n<i>second</i>\r\n\r\n\r\n"
        "2\r\n01:02:05,000 --> 01:02:06,000\r\n{\\an8}third\r\n\r\n3\r\n01:02:07,000 --> 01:02:08,000\r\n\r\n".encode()
    )
    assert read_srt(path) == (Subtitle(3723.5, 3724.25, "first second"), Subtitle(3725, 3726, "third"))


def test_an_empty_line_does_not_end_a_subtitle(tmp_path):
    (tmp_path / "a.srt").write_text(
        "1\n00:00:00,000 --> 00:00:02,000\nfirst\n\nsecond\n\n2\n00:00:02,000 --> 00:00:03,050\nthird\n"
    )
    assert read_srt(tmp_path / "a.srt") == (Subtitle(0, 2, "first second"), Subtitle(2, 3.05, "third"))


def test_without_the_extra_its_name_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pysubs2", None)
    with pytest.raises(ModuleNotFoundError, match=r"pysubs2 is needed.*pip install 'mmrl\[eval\]'"):
        read_srt(FIXTURES / "videomme/subtitle/aaaaaaaaaaA.srt")


def test_a_file_without_a_subtitle_is_an_error(tmp_path):
    (tmp_path / "a.srt").write_text("<html>404</html>")
    with pytest.raises(MediaError, match="expected a SubRip file, found no subtitle"):
        read_srt(tmp_path / "a.srt")


def test_both_notations_of_longvideobench_count_from_the_rows_offset():
    folder = FIXTURES / "longvideobench/subtitles"
    assert read_longvideobench(folder / "dddddddddD0_en.json", 0, 4)[1] == Subtitle(1.5, 4, "and down again")
    assert read_longvideobench(folder / "eeeeeeeeeE0_en.json", 10, 4)[0] == Subtitle(0.5, 2.5, "a song begins")


def test_a_subtitle_file_that_is_missing_or_broken_is_an_error_with_its_name(tmp_path):
    with pytest.raises(MediaError, match=r"none.json: expected subtitles, found no such file; unpack"):
        read_longvideobench(tmp_path / "none.json", 0, 1)
    (tmp_path / "a.json").write_text('[{"begin": 1}]')
    with pytest.raises(MediaError, match=r"a.json: expected subtitles with timestamps, found KeyError"):
        read_longvideobench(tmp_path / "a.json", 0, 1)


def test_those_of_the_sampled_moments_are_listed_once_and_in_order():
    assert [one.text for one in subtitles_at(SAID, [2.5, 0, 1, 0.5])] == ["one", "two"]
    assert [one.text for one in subtitles_at(SAID, [1])] == ["two"]  # the first has ended
    told, shown = listed(ASKED, (clip_at(0, 0.5, 2),), SAID)
    assert told.question == "This video's subtitles are listed below:\none\ntwo\nWhat?"
    assert (told.id, told.choices, len(shown)) == ("1", ASKED.choices, 1)


def test_a_video_without_subtitles_at_its_frames_says_so():
    assert "below:\nNo subtitles available\nWhat?" in listed(ASKED, (clip_at(10, 11),), SAID)[0].question


def test_frames_and_subtitles_stand_in_the_order_of_time():
    # middles: .5, 2, 3.1 (short: from 2.6 to 3.6), 21; no frame is within the last
    assert list(in_time(SAID, [0.2, 1, 2, 3, 4])) == [0, "one", 1, 2, "two", 3, "three", 4]
    assert list(in_time(SAID, [0, 5])) == [0, 1]  # no frame strictly within any


def test_the_interleaved_prompt_holds_every_frame_once_and_the_question_last():
    clip = clip_at(0.2, 1, 2, 4)
    told, shown = interleaved(ASKED, (clip,), SAID, "longvideobench")
    (message,) = messages(told, "care_eval")  # a ready-made chat replaces the template
    pictures = [part for part in message.content if isinstance(part, Media)]
    assert [part.kind for part in pictures] == ["image"] * 4 == [media.kind for media in told.every_media]
    assert all(np.array_equal(frame, one) for frame, one in zip(shown, clip.frames, strict=True))
    words = "".join("#" if isinstance(part, Media) else part for part in message.content)
    assert (
        words
        == "#\none\n#\n#\ntwo\n#\nQuestion: What?\nA. a\nB. b\nAnswer with the option's letter from the given choices directly."
    )


def test_without_frames_there_are_no_subtitles(tmp_path):
    blind = replace(ASKED, media=())
    assert SubtitleReader(tmp_path, "care_eval")(blind, ()) == (blind, ())
    assert interleaved(blind, (), SAID, "care_eval") == (blind, ())


def test_a_folder_tells_which_way(tmp_path):
    srt = replace(ASKED, media=(Media("video", Path("x/aaaaaaaaaaA.mp4")),))
    told, _ = SubtitleReader(FIXTURES / "videomme/subtitle", "care_eval")(srt, (clip_at(0.5),))
    assert "Three boats set out.\nWhat?" in told.question
    fields = {"subtitle_path": "dddddddddD0_en.json", "starting_timestamp_for_subtitles": 0, "duration": 4.0}
    told, shown = SubtitleReader(FIXTURES / "longvideobench/subtitles", "care_eval")(
        replace(ASKED, fields=fields), (clip_at(1, 2),)
    )
    assert len(told.messages) == 1
    assert len(shown) == 2
