"""Frames from the cache are those of the decoder, to the bit; the second time, and the second process, decodes nothing."""

import os
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from mmrl.data.media.downscale import downscaled
from mmrl.data.media.frame_cache import Key, entry_name, packed, unpacked
from mmrl.data.media.frame_size import SizeRule, SizeRules
from mmrl.data.media.reader import MediaReader
from mmrl.data.media.video import Clip, FrameChoice, decode, read_image
from mmrl.runtime.disk_cache import open_disk
from tests.data.media.test_reader import FOUR, example

NEEDED = example("videos/a.mp4", "images/a.png", "videos/b.mp4")
SMALL = SizeRule("frame", 28, 28 * 28, 28 * 56, 2, 128000)  # 48 x 64 becomes 28 x 28


@pytest.fixture
def disk(tmp_path):
    return open_disk(tmp_path / "cache", 10**8)


def reader_of(root, disk, **options):
    return MediaReader(root, options.pop("choice", FOUR), workers=options.pop("workers", 0), disk=disk, **options)


@pytest.mark.parametrize("rule", [None, SMALL])
def test_packing_loses_nothing(root, rule):
    clip = decode(root / "videos" / "a.mp4", FOUR)
    clip = clip if rule is None else downscaled(clip, rule)
    assert clip.rule is rule
    again = unpacked(packed(clip))
    for field in fields(Clip):
        mine, its = getattr(clip, field.name), getattr(again, field.name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == its.dtype
            assert np.array_equal(mine, its)
        else:
            assert (type(mine), mine) == (type(its), its)
    torch.from_numpy(again.frames)  # which warns of arrays that cannot be written
    picture = read_image(root / "images" / "a.png")
    assert np.array_equal(unpacked(packed(picture)), picture)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_second_run_decodes_nothing_and_sees_the_same(root, disk, workers):
    with reader_of(root, disk, workers=workers) as first, reader_of(root, disk, workers=workers) as second:
        made, found = first.load(NEEDED), second.load(NEEDED)
    assert (first.counts.decodes, first.counts.disk.hits) == (3, 0)
    assert (second.counts.decodes, second.counts.disk.hits, second.counts.files) == (0, 3, 3)
    assert 0 < first.counts.disk.written_bytes == second.counts.disk.read_bytes
    for one, other in zip(made, found, strict=True):
        assert np.array_equal(getattr(one, "frames", one), getattr(other, "frames", other))


def test_a_second_epoch_decodes_nothing_though_memory_holds_nothing(root, disk):
    with reader_of(root, disk, cache_bytes=0) as reader:
        for _ in range(3):
            reader.load(NEEDED)
    assert (reader.counts.decodes, reader.counts.disk.hits, reader.counts.hits) == (3, 6, 0)


def test_the_content_counts_and_not_the_name_or_the_date(root, disk):
    shutil.copy(root / "videos" / "a.mp4", root / "videos" / "copy.mp4")
    with reader_of(root, None) as reader:
        reader.load(example("videos/a.mp4", "videos/copy.mp4"))
        os.utime(root / "videos" / "a.mp4", (0, 0))
        reader.load(example("videos/a.mp4"))
        assert (reader.counts.decodes, reader.counts.files) == (1, 1)
        shutil.copy(root / "videos" / "b.mp4", root / "videos" / "a.mp4")
        assert reader.load(example("videos/a.mp4"))[0].total == 20
        assert reader.counts.decodes == 2


@pytest.mark.parametrize("later", [False, True], ids=["the same process", "another process"])
def test_a_file_replaced_by_one_of_its_size_and_date_is_decoded_anew(root, disk, later):
    """As ``rsync --inplace --times`` or a restored copy leaves it: neither name, number, size nor date tell."""
    one, two = ((root / "videos" / name).read_bytes() for name in ("a.mp4", "b.mp4"))
    path = root / "videos" / "c.mp4"
    path.write_bytes(one.ljust(len(two), b"\0"))
    before = path.stat()
    with reader_of(root, disk) as reader:
        assert reader.load(example("videos/c.mp4"))[0].total != 20
        path.write_bytes(two.ljust(len(one), b"\0"))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)
        with reader_of(root, disk) as another:
            assert (another if later else reader).load(example("videos/c.mp4"))[0].total == 20


def test_another_choice_of_frames_or_another_size_is_another_entry():
    keys = [Key("c", FOUR, "auto"), Key("c", FOUR, "pyav"), Key("c", None, "auto"), Key("d", FOUR, "auto")]
    keys += [Key("c", FrameChoice(count=4, convention="centre"), "auto"), Key("c", FrameChoice(count=5), "auto")]
    keys += [Key("c", FOUR, "auto", (0, 9, "frames")), Key("c", FOUR, "auto", (0, 9, "seconds"))]
    rules = [SMALL, *(replace(SMALL, **{name: 1}) for name in ("least", "most", "factor", "patch", "tokens"))]
    keys += [Key("c", FOUR, "auto", None, rule) for rule in (*rules, replace(SMALL, of="video"))]
    keys += [Key("c", None, "auto", None, replace(SMALL, of="image"))]
    assert len({entry_name(key) for key in keys}) == len(keys)


def test_a_damaged_entry_is_decoded_again_and_counted(root, disk, caplog):
    with reader_of(root, disk) as reader:
        (clean,) = reader.load(example("videos/a.mp4"))
    entry = max(disk.entries(), key=lambda one: one[1].st_size)[0]
    damaged = bytearray(entry.read_bytes())
    damaged[len(damaged) // 2] ^= 8
    entry.write_bytes(damaged)
    with reader_of(root, disk) as reader:
        (again,) = reader.load(example("videos/a.mp4"))
        reader.load(example("videos/b.mp4"))
    assert np.array_equal(clean.frames, again.frames)
    assert (reader.counts.disk.corrupt, reader.counts.decodes) == (1, 2)
    assert [record.message.split(": ")[1] for record in caplog.records] == [
        "an entry was damaged; its file is decoded again"
    ]
    with reader_of(root, disk) as reader:
        reader.load(example("videos/a.mp4"))
    assert reader.counts.decodes == 0


def test_a_cache_that_is_too_small_is_said_once_and_serves(root, tmp_path, caplog):
    small = open_disk(tmp_path / "small", 200)
    with reader_of(root, small) as reader:
        assert len(reader.load(NEEDED)) == 3
    assert reader.counts.disk.bypassed >= 2
    assert reader.counts.decodes == 3
    assert len(caplog.records) == 1
    assert "more than the limit of 200" in caplog.text


@pytest.mark.parametrize(
    "workers",
    [0, pytest.param(1, marks=pytest.mark.slow("in a process, which imports torch; the other case is in this one"))],
)  # the process imports torch
def test_what_was_made_smaller_is_kept_smaller_and_beside_what_was_not(root, disk, workers):
    sizes = SizeRules(SMALL, replace(SMALL, of="image"))
    with reader_of(root, disk) as full, reader_of(root, disk, workers=workers, sizes=sizes) as small:
        large, made = full.load(NEEDED), small.load(NEEDED)
        assert small.load(NEEDED)[0] is made[0]
        assert (small.counts.decodes, small.counts.hits) == (3, 3)  # not the other's entries
        assert small.kept_bytes == small.counts.bytes == sum(medium.nbytes for medium in made)
    assert (made[0].frames.shape, made[0].rule) == ((4, 28, 28, 3), SMALL)
    assert np.array_equal(made[0].frames, downscaled(large[0], SMALL).frames)
    assert made[1].shape == large[1].shape == (6, 10, 3)  # would grow
    assert small.counts.disk.written_bytes < full.counts.disk.written_bytes / 2
    with reader_of(root, disk, sizes=sizes, cache_bytes=0) as later:
        for _ in range(2):
            found = later.load(NEEDED)
    assert (later.counts.decodes, later.counts.disk.hits) == (0, 6)
    assert np.array_equal(found[2].frames, made[2].frames)
    assert found[2].rule == SMALL


def test_a_damaged_entry_of_small_frames_is_made_again(root, disk):
    one, sizes = example("videos/a.mp4"), SizeRules(SMALL)
    with reader_of(root, disk, sizes=sizes) as reader:
        (clean,) = reader.load(one)
    entry = max(disk.entries(), key=lambda each: each[1].st_size)[0]
    entry.write_bytes(entry.read_bytes()[:-1] + b"?")
    with reader_of(root, disk, sizes=sizes) as reader:
        (again,) = reader.load(one)
    assert (reader.counts.disk.corrupt, reader.counts.decodes) == (1, 1)
    assert np.array_equal(clean.frames, again.frames)
