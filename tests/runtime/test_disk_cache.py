"""A cache on disk gives back what was put there, or nothing; it keeps to its bytes; what it cannot do is counted."""

import os
from multiprocessing import get_context

import pytest

from mmrl.runtime.disk_cache import SUM, Disk, Tally, open_disk
from mmrl.runtime.files import PARTIAL

TEN = b"ten  bytes"
ENTRY = SUM + len(TEN)


def names(disk):
    return sorted(path.name for path, _ in disk.entries())


def age(disk, name, seconds):
    """Make an entry look unused for so long."""
    then = (disk.folder / name).stat().st_mtime - seconds
    os.utime(disk.folder / name, (then, then))


def test_what_was_put_comes_back_and_is_counted(tmp_path):
    disk, tally = open_disk(tmp_path / "new" / "cache", 1000), Tally()
    assert disk.get("one", tally) is None
    disk.put("one", b"first", tally)
    disk.put("one", b"other", tally)  # an entry is what its name says: the first is as good
    assert disk.get("one", tally) == b"first"
    assert tally == Tally(hits=1, read_bytes=SUM + 5, written_bytes=SUM + 5)


@pytest.mark.parametrize("place", [0, SUM, -1], ids=["checksum", "first byte", "last byte"])
def test_a_flipped_bit_is_never_read(tmp_path, place):
    disk, tally = open_disk(tmp_path, 1000), Tally()
    disk.put("one", b"payload", tally)
    entry = bytearray((tmp_path / "one").read_bytes())
    entry[place] ^= 1
    (tmp_path / "one").write_bytes(entry)
    assert disk.get("one", tally) is None
    assert (tally.corrupt, tally.hits) == (1, 0)
    disk.put("one", b"payload", tally)  # and is made anew
    assert disk.get("one", tally) == b"payload"


def test_a_torn_an_empty_and_a_misplaced_entry_are_never_read(tmp_path):
    disk, tally = open_disk(tmp_path, 1000), Tally()
    disk.put("one", b"payload", tally)
    whole = (tmp_path / "one").read_bytes()
    for name, entry in {"torn": whole[:-1], "empty": b"", "misplaced": whole}.items():
        (tmp_path / name).write_bytes(entry)
        assert disk.get(name, tally) is None
    assert tally.corrupt == 3


def test_the_least_recently_used_are_given_up_first(tmp_path):
    disk, tally = open_disk(tmp_path, 4 * ENTRY), Tally()
    for seconds, name in ((40, "a"), (30, "b"), (20, "c"), (10, "d")):
        disk.put(name, TEN, tally)
        age(disk, name, seconds)
    disk.get("a", tally)
    disk.put("e", TEN, tally)
    assert names(disk) == ["a", "d", "e"]  # b for the limit, c so that there is room for the next one
    assert tally.evicted == 2
    for name in "fghijk":
        disk.put(name, TEN, tally)
        assert sum(entry.st_size for _, entry in disk.entries()) <= disk.limit


def test_what_is_larger_than_the_limit_is_done_without(tmp_path):
    disk, tally = open_disk(tmp_path, 100), Tally()
    disk.put("one", bytes(100), tally)
    assert (tally.bypassed, names(disk)) == (1, [])
    assert "more than the limit of 100" in tally.reason


def test_a_disk_that_is_full_is_done_without_and_leaves_nothing_half_written(tmp_path):
    disk, tally = Disk(tmp_path, 10**6), Tally()
    full = OSError(28, "No space left on device")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(full))
        disk.put("one", TEN, tally)
    assert (tally.bypassed, tally.written_bytes, names(disk)) == (1, 0, [])
    assert "No space left" in tally.reason
    disk.put("one", TEN, tally)
    assert disk.get("one", tally) == TEN


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cache_dir: expected a folder that can be written, found .*Not a dir"):
        open_disk(tmp_path / "file" / "cache", 1000)


def test_what_killed_processes_left_is_cleared_and_counted_again(tmp_path):
    disk, tally = open_disk(tmp_path, 4 * ENTRY), Tally()
    disk.put("one", TEN, tally)
    (tmp_path / f"two{PARTIAL}").write_bytes(TEN)
    (tmp_path / "bytes").write_text("0")
    assert open_disk(tmp_path, 4 * ENTRY).used_bytes() == ENTRY
    assert names(disk) == ["one"]


def write_many(folder, limit, first):
    disk, tally = Disk(folder, limit), Tally()
    for number in range(first, first + 40):
        disk.put(f"entry-{number}", TEN, tally)
        disk.get(f"entry-{number - 1}", tally)
    assert (tally.bypassed, tally.corrupt) == (0, 0)


def test_processes_that_write_at_once_keep_the_bound_and_read_only_what_is_whole(tmp_path):
    disk = open_disk(tmp_path, 25 * ENTRY)
    context = get_context("fork")
    writers = [context.Process(target=write_many, args=(tmp_path, disk.limit, first)) for first in (0, 20, 40)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    kept = sum(entry.st_size for _, entry in disk.entries())
    assert 0 < kept == disk.used_bytes() <= disk.limit
