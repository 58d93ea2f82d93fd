"""Decoding ahead, in memory and under time limits; files that must not be opened."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mmrl.data.media.decoders import has_decord
from mmrl.data.media.paths import inside
from mmrl.data.media.reader import MediaError, MediaReader
from mmrl.data.media.video import Clip, FrameChoice
from mmrl.runtime.memory_cache import ByteCache
from mmrl.types import Example, Media, Message
from tests.data.media import fake_decoders

FOUR = FrameChoice(count=4)
BYTES = 4 * 48 * 64 * 3 + 4 * 8 + 4 * 8  # frames, indices and time stamps of one clip


def example(*paths, name="1"):
    kinds = {".mp4": "video", ".png": "image"}
    return Example(id=name, question="?", media=tuple(Media(kinds[path[-4:]], Path(path)) for path in paths))


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_media_come_in_the_order_of_the_example(root):
    with MediaReader(root, FOUR, workers=0) as reader:
        image, clip = reader.load(example("images/a.png", "videos/a.mp4"))
    assert isinstance(image, np.ndarray)
    assert isinstance(clip, Clip)


def test_a_ready_made_chat_shows_its_own_media(root):
    chat = (Message("user", ("Look:", Media("video", Path("videos/b.mp4")), "?")),)
    with MediaReader(root, FOUR, workers=0) as reader:
        (clip,) = reader.load(Example(id="1", question="?", media=(Media("image", Path("absent.png")),), messages=chat))
    assert clip.total == 20


def test_processes_decode_what_this_one_would(root):
    both = example("videos/a.mp4", "videos/b.mp4")
    with MediaReader(root, FOUR, workers=0) as here, MediaReader(root, FOUR, workers=2) as there:
        for one, other in zip(here.load(both), there.load(both), strict=True):
            assert (one.frames == other.frames).all()


def test_what_was_decoded_is_not_decoded_again_until_the_file_changes(root, write_video):
    with MediaReader(root, FOUR, workers=0) as reader:
        first = reader.load(example("videos/a.mp4"))[0]
        assert reader.load(example("videos/a.mp4"))[0] is first
        assert (reader.counts.decodes, reader.counts.hits, reader.counts.bytes) == (1, 1, BYTES)
        write_video(root / "videos" / "a.mp4", 25)
        assert reader.load(example("videos/a.mp4"))[0].total == 25
        assert reader.counts.decodes == 2
        assert sum(reader.counts.readers.values()) == 2
        assert reader.counts.seconds_waited > 0


def test_what_is_decoded_ahead_is_there_when_it_is_needed(root):
    needed = example("videos/a.mp4", "images/a.png")
    with MediaReader(root, FOUR, workers=1) as reader:
        reader.ahead([needed, example("videos/absent.mp4")])
        wait_until(lambda: reader.counts.decodes == 2)
        reader.ahead([needed])
        reader.load(needed)
        assert (reader.counts.decodes, reader.counts.hits) == (2, 2)


def test_frames_decoded_ahead_and_given_up_are_decoded_again(root):
    with MediaReader(root, FOUR, workers=1, cache_bytes=BYTES) as reader:
        reader.ahead([example("videos/a.mp4"), example("videos/b.mp4")])
        wait_until(lambda: reader.counts.decodes == 2)
        assert [reader.load(example(path))[0].total for path in ("videos/a.mp4", "videos/b.mp4")] == [30, 20]


def test_a_cache_of_nothing_still_serves(root):
    with MediaReader(root, FOUR, workers=1, cache_bytes=0) as reader:
        reader.ahead([example("videos/a.mp4")])
        assert reader.counts.decodes == 0
        assert reader.load(example("videos/a.mp4"))[0].total == 30


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_file_names_its_example_and_is_tried_once(root, workers):
    (root / "videos" / "a.mp4").write_bytes(b"broken")
    with MediaReader(root, FOUR, workers=workers) as reader:
        for name in ("seven", "eight"):
            with pytest.raises(MediaError, match=rf"a\.mp4 \(example {name}\): expected a video that decodes"):
                reader.load(example("videos/a.mp4", name=name))
        assert (reader.counts.failures, reader.counts.decodes) == (1, 0)


def test_a_missing_file_names_its_example(root):
    with MediaReader(root, workers=0) as reader, pytest.raises(MediaError, match=r"\(example 7\).*no such file"):
        reader.load(example("videos/absent.mp4", name="7"))


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (fake_decoders.hang_on_a, r"a\.mp4 \(example 1\): .*found nothing after 4 s \(timeout\)"),
        (fake_decoders.die_on_a, r"a\.mp4 \(example 1\): .*found a decoder that died \(exit code 11\)"),
    ],
    ids=["hangs", "dies"],
)
def test_a_worker_that_hangs_or_dies_is_replaced(root, decoder, message):
    """It would hang for ten minutes. Four seconds are enough for a sound file, also where cores are busy."""
    timeout = 4.0 if decoder is fake_decoders.hang_on_a else 120.0
    with MediaReader(root, FOUR, workers=1, timeout=timeout, decode=decoder) as reader:
        with pytest.raises(MediaError, match=message):
            reader.load(example("videos/a.mp4"))
        assert reader.load(example("videos/b.mp4"))[0].total == 20
        assert (reader.counts.failures, reader.counts.decodes) == (1, 1)


@pytest.mark.skipif(not has_decord(), reason="decord is not installed")
def test_fallbacks_are_counted_and_the_first_is_told(root, write_video, caplog):
    for frames, name in ((8, "new.mp4"), (9, "newer.mp4")):
        write_video(root / "videos" / name, frames, codec="libsvtav1", options={"preset": "12"}, size=(64, 64))
    with MediaReader(root, FOUR, workers=0) as reader:
        reader.load(example("videos/new.mp4", "videos/newer.mp4"))
    assert reader.counts.readers == {"pyav": 2}
    assert reader.counts.fallbacks == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_closing_ends_the_processes_at_once(root):
    reader = MediaReader(root, FOUR, workers=1, decode=fake_decoders.hang_on_a)
    reader.ahead([example("videos/a.mp4")])
    started = time.monotonic()
    reader.close()
    assert time.monotonic() - started < 60  # and not the ten minutes that it would hang
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pebble")]


def test_the_cache_keeps_to_its_bytes_and_gives_up_the_least_recently_used():
    cache = ByteCache(250)
    one, two, three = (np.zeros(100, np.uint8) for _ in range(3))
    cache.put("one", one)
    cache.put("two", two)
    assert cache.get("one") is one
    cache.put("three", three)
    assert ("one" in cache, "two" in cache, "three" in cache) == (True, False, True)
    cache.put("three", np.zeros(120, np.uint8))
    assert (cache.bytes, len(cache)) == (220, 2)
    cache.put("large", np.zeros(251, np.uint8))
    assert (cache.bytes, "large" in cache) == (220, False)


def test_a_path_inside_the_root_is_followed(root):
    (root / "link.mp4").symlink_to(root / "videos" / "a.mp4")
    assert inside(root, "link.mp4") == (root / "videos" / "a.mp4").resolve()


@pytest.mark.parametrize(
    "path", ["../secret.mp4", "videos/../../secret.mp4", "/etc/passwd", "link.mp4", "folder/b.mp4", "a\0b"]
)
def test_a_path_out_of_the_root_is_refused(tmp_path, path):
    root = tmp_path / "root"
    (root / "videos").mkdir(parents=True)
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (tmp_path / "elsewhere").mkdir()
    (root / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MediaError, match=r"inside the data root|relative to the data root"):
        inside(root, path)
    with MediaReader(root, workers=0) as reader, pytest.raises(MediaError, match=r"\(example 1\)"):
        reader.load(Example(id="1", question="?", media=(Media("video", Path(path)),)))


@pytest.mark.parametrize("wrong", [{"workers": -1}, {"timeout": 0}, {"cache_bytes": -1}])
def test_impossible_settings_are_refused(root, wrong):
    with pytest.raises(ValueError, match=rf"media\.{next(iter(wrong))}: expected"):
        MediaReader(root, **wrong)
