"""Lines of JSON: a torn end is left out and cut off, and any other broken line is an error with its place."""

import logging

import pytest

from mmrl.runtime.json_lines import TAIL, append, cut_torn_end, read, split

ROWS = [{"n": 1, "text": "a\u2028b\x85c\x0c\0d"}, {"n": 2}]
TORN = [b'{"n": 3', b'{"n": 3}', b"\0\0\0", b'{"n"\0\0\0', b"\0\0\n", b'{"n": 3}\0\n\0\0\n\0', b"\xff"]


@pytest.fixture
def path(tmp_path):
    """Two whole lines."""
    append(tmp_path / "rows.jsonl", ROWS)
    return tmp_path / "rows.jsonl"


def test_what_is_appended_is_read(path):
    append(path, [{"n": 3}])
    assert read(path) == [*ROWS, {"n": 3}]


@pytest.mark.parametrize("end", TORN)
def test_a_torn_end_is_left_out_counted_and_cut_off(path, end, caplog):
    whole = path.read_bytes()
    path.write_bytes(whole + end)
    assert split(path.read_bytes()) == (whole.split(b"\n")[:-1], len(end))
    assert read(path) == ROWS
    assert f"rows.jsonl: left out the last {len(end)} bytes" in caplog.text
    assert cut_torn_end(path) == len(end)
    assert path.read_bytes() == whole
    assert cut_torn_end(path) == 0
    append(path, [{"n": 3}])
    assert read(path) == [*ROWS, {"n": 3}]


def test_a_line_that_is_nothing_but_torn_leaves_an_empty_file(tmp_path, caplog):
    path = tmp_path / "rows"
    path.write_bytes(b'{"n": 1}')
    assert read(path) == []
    assert cut_torn_end(path) == 8
    assert path.read_bytes() == b""
    assert cut_torn_end(path) == cut_torn_end(tmp_path / "none") == 0


@pytest.mark.parametrize("line", [b'{"n": 3', b"\0\0", b"\xff"])
def test_a_broken_line_in_the_middle_is_an_error_with_its_place(path, line):
    path.write_bytes(path.read_bytes() + b"\n" + line + b'\n{"n": 4}\n')
    with pytest.raises(
        ValueError, match=r"rows\.jsonl, line 4: expected JSON, found b'.*; delete the line or the file"
    ):
        read(path)


@pytest.mark.parametrize("size", [TAIL - 1, TAIL, 3 * TAIL])
@pytest.mark.parametrize("end", [b"\n", b"", b"\0\n"])
def test_long_last_lines_are_judged_as_short_ones_are(path, size, end, caplog):
    caplog.set_level(logging.ERROR)
    whole = path.read_bytes()
    for start in (b"", b"\0"):
        path.write_bytes(whole + start + b"1" * size + end)
        torn = 0 if (start, end) == (b"", b"\n") else len(start) + size + len(end)
        assert cut_torn_end(path) == torn
