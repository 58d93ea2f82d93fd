"""Finding broken media before the first step."""

from pathlib import Path

import pytest

from mmrl.data.media.errors import MediaError
from mmrl.data.media.preflight import preflight
from mmrl.data.media.video import FrameChoice
from mmrl.types import Example, Media
from tests.data.media import fake_decoders

FOUR = FrameChoice(count=4)


def examples(*paths):
    kinds = {"mp4": "video", "png": "image"}
    return [
        Example(id=f"e{n}", question="?", media=(Media(kinds[path[-3:]], Path(path)),)) for n, path in enumerate(paths)
    ]


def test_each_file_is_opened_once_and_remembered(root):
    needed = examples("videos/a.mp4", "videos/b.mp4", "images/a.png", "videos/a.mp4")
    memory, seen = root / "runs" / "seen.jsonl", []
    first = preflight(needed, root, FOUR, 0, 10.0, memory, lambda done, total: seen.append((done, total)))
    assert (first.files, first.remembered, first.failures) == (3, 0, ())
    assert seen == [(1, 3), (2, 3), (3, 3)]
    first.raise_if_bad()
    second = preflight(needed, root, FOUR, 0, 10.0, memory)
    assert (second.files, second.remembered) == (3, 3)
    other_choice = preflight(needed, root, FrameChoice(count=2), 0, 10.0, memory)
    assert other_choice.remembered == 1  # the image


def test_a_changed_file_and_a_torn_note_are_looked_at_again(root):
    needed, memory = examples("videos/a.mp4", "videos/b.mp4"), root / "seen.jsonl"
    preflight(needed, root, FOUR, 0, 10.0, memory)
    memory.write_text(memory.read_text()[:-20])
    assert preflight(needed, root, FOUR, 0, 10.0, memory).remembered == 1
    (root / "videos" / "a.mp4").write_bytes(b"broken")
    assert [failure.examples for failure in preflight(needed, root, FOUR, 0, 10.0, memory).failures] == [("e0",)]


def test_all_that_is_wrong_is_reported_together(root):
    (root / "videos" / "a.mp4").write_bytes(b"broken")
    needed = examples("videos/a.mp4", "videos/absent.mp4", "../x.mp4", "videos/b.mp4", "videos/a.mp4")
    report = preflight(needed, root, FOUR, 1, 10.0)
    assert {failure.examples for failure in report.failures} == {("e0", "e4"), ("e1",), ("e2",)}
    with pytest.raises(MediaError) as error:
        report.raise_if_bad()
    assert "4 media files: expected files that decode, found 3 that cannot be used:" in str(error.value)
    assert "a.mp4 (example e0): expected a video that decodes" in str(error.value)
    assert "[and 1 more examples]" in str(error.value)


def test_ten_are_shown_and_the_rest_counted(root):
    report = preflight(examples(*(f"{number}.mp4" for number in range(13))), root, FOUR, 0)
    with pytest.raises(MediaError) as error:
        report.raise_if_bad()
    assert str(error.value).count("no such file") == 10
    assert "and 3 more" in str(error.value)


def test_a_file_that_hangs_is_a_failure(root):
    report = preflight(
        examples("videos/a.mp4", "videos/b.mp4"), root, FOUR, 1, 4.0, root / "seen.jsonl", probe=fake_decoders.hang_on_a
    )
    assert ["nothing after 4 s" in str(failure) for failure in report.failures] == [True]
    assert "a.mp4" not in (root / "seen.jsonl").read_text()
