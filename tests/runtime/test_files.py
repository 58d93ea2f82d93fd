"""A file or a directory is written whole or not at all, whatever stops the writer and wherever."""

import hashlib
import os
import signal

import pytest

from mmrl.runtime import files
from mmrl.runtime.files import (
    WriteError,
    settle,
    sha256,
    sha256_of,
    short_hash,
    whole_directory,
    whole_file,
    write_json,
    write_whole,
)
from tests import run_fixtures


def write_file(path, content):
    """A file in two pieces."""
    with whole_file(path) as partial, partial.open("w") as file:
        file.write(content[:1])
        file.flush()
        file.write(content[1:])


def write_directory(path, content):
    """A directory of two files."""
    with whole_directory(path) as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "one").write_text(content)
        (partial / "two").write_text(content)


def content_of(path):
    """The text of a file, or of a directory whose files agree; None where there is nothing."""
    settle(path)
    if path.is_dir():
        (text,) = {(path / "inner" / "one").read_text(), (path / "two").read_text()}
        return text
    return path.read_text() if path.exists() else None


def at_call(owner, name, number, deed, monkeypatch):
    """Let ``deed`` happen just before the call of a function with this number, 0 for the first."""
    calls, function = iter(range(100)), getattr(owner, name)

    def watched(*args, **options):
        if next(calls) == number:
            deed()
        return function(*args, **options)

    monkeypatch.setattr(owner, name, watched)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def full():
    raise OSError(28, "No space left on device")


MOMENTS = [  # the writer; the function before whose call it dies, and the call's number; what is there before and in the end
    (write_file, files, "flush", 0, "old", "old"), (write_file, files, "flush", 0, None, None),
    (write_file, os, "replace", 0, "old", "old"), (write_file, os, "replace", 0, None, None),
    (write_file, files, "flush", 1, "old", "new"), (write_file, files, "flush", 1, None, "new"),
    (write_directory, files, "flush", 0, "old", "old"), (write_directory, files, "flush", 0, None, None),
    (write_directory, files, "flush", 2, "old", "old"), (write_directory, files, "flush", 2, None, None),
    (write_directory, os, "rename", 0, "old", "old"), (write_directory, os, "rename", 0, None, None),
    (write_directory, os, "rename", 1, "old", "new"),  # between the two: settle finishes it
    (write_directory, files, "flush", 4, "old", "new"), (write_directory, files, "flush", 4, None, "new"),
]  # fmt: skip


@pytest.mark.parametrize(("write", "owner", "name", "number", "before", "left"), MOMENTS)
def test_a_writer_that_is_killed_leaves_the_old_or_the_new(
    tmp_path, monkeypatch, write, owner, name, number, before, left
):
    path = tmp_path / "it"
    if before:
        write(path, before)

    def doomed():
        at_call(owner, name, number, die, monkeypatch)
        write(path, "new")

    assert run_fixtures.death_of(doomed) == signal.SIGKILL
    assert content_of(path) == left
    write(path, "newer")
    assert content_of(path) == "newer"
    assert {each.suffix for each in tmp_path.iterdir() if each != path} <= {files.PARTIAL}


@pytest.mark.parametrize("write", [write_file, write_directory])
@pytest.mark.parametrize("stage", [0, 1])
def test_a_full_disk_is_one_message_and_keeps_the_old(tmp_path, monkeypatch, write, stage):
    path = tmp_path / "it"
    write(path, "old")
    owner, name = [(files, "flush"), (os, "replace" if write is write_file else "rename")][stage]
    with monkeypatch.context() as patch:
        at_call(owner, name, 0, full, patch)
        with pytest.raises(WriteError) as caught:
            write(path, "new")
    assert str(caught.value) == (
        f"{path}: expected a place that can be written, found [Errno 28] No space left on device; free some space there, or "
        "choose another place"
    )
    assert content_of(path) == "old"
    write(path, "new")
    assert content_of(path) == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["it"]


def test_what_cannot_be_a_folder_is_the_same_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"inner/it: expected a place that can be written, found .*Not a directory"):
        write_whole(tmp_path / "file" / "inner" / "it", "text")


def test_an_error_of_the_writer_passes_and_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(files, "flush", fail)
    for write in (write_file, write_directory):
        with pytest.raises(ZeroDivisionError):
            write(tmp_path / "it", "half")
    assert list(tmp_path.iterdir()) == []


def test_folders_are_made_and_text_is_utf_8(tmp_path):
    write_whole(tmp_path / "a" / "b", "ü\r\n")
    assert (tmp_path / "a" / "b").read_bytes() == b"\xc3\xbc\r\n"
    write_json(tmp_path / "c", {"b": 1, "a": [2]}, sort_keys=True)
    assert (tmp_path / "c").read_text() == '{\n "a": [\n  2\n ],\n "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "d", float("nan"))


def test_hashes_are_those_of_all_parts_and_of_one_length(tmp_path):
    (tmp_path / "file").write_bytes(b"ab")
    expected = hashlib.sha256(b"ab").hexdigest()
    assert sha256_of(tmp_path / "file") == sha256("a", memoryview(b"b")) == expected
    assert short_hash("a", b"b") == expected[:16]  # plans and checkpoints on disk hold this length
