"""Files of annotations as a whole: selections, ids, and all their errors at once."""

import pytest

from mmrl.data.formats.messages import Messages


def ask(name, text="?"):
    return {"id": name, "messages": [{"role": "user", "content": text}]}


def test_a_prefix_tells_files_apart(tmp_path, write_rows):
    dataset = Messages(write_rows([ask(1), ask(2)]), prefix="L1/").open(tmp_path)
    assert dataset.ids == ("L1/1", "L1/2")
    assert [dataset.example(index, 0).id for index in range(len(dataset))] == ["L1/1", "L1/2"]


def test_excluded_ids_are_left_out_before_the_limit_counts(tmp_path, write_rows):
    dataset = Messages(write_rows([ask(n) for n in range(5)]), exclude=("0", "2"), limit=2).open(tmp_path)
    assert dataset.ids == ("1", "3")


def test_an_excluded_row_may_be_malformed(tmp_path, write_rows):
    name = write_rows([ask(1), {"id": 2}])
    assert Messages(name, exclude=("2",)).open(tmp_path).ids == ("1",)


def test_an_exclusion_of_nothing_is_an_error(tmp_path, write_rows):
    with pytest.raises(
        ValueError, match=r"data\.sets exclude: expected ids of .*found 9 \(1 unknown\); ids look like '1'"
    ):
        Messages(write_rows([ask(1)]), exclude=("9",)).open(tmp_path)


def test_an_id_that_two_rows_have_names_both_lines(tmp_path, write_rows):
    with pytest.raises(ValueError, match=r"rows\.jsonl:3: id: expected an id of its own, found 7, as in line 1"):
        Messages(write_rows([ask(7), ask(8), ask("7")])).open(tmp_path)


def test_ten_bad_rows_are_shown_and_all_are_counted(tmp_path, write_rows):
    with pytest.raises(ValueError) as error:
        Messages(write_rows([{"id": n} for n in range(13)] + [ask(99)])).open(tmp_path)
    text = str(error.value)
    assert "13 bad rows" in text
    assert text.count("messages: expected a list") == 10
    assert text.endswith("and 3 more")


def test_bad_rows_can_be_left_out_and_that_is_told(tmp_path, write_rows, caplog):
    dataset = Messages(write_rows([ask(1), {"id": 2}, ask(3)]), bad_rows="leave_out").open(tmp_path)
    assert dataset.ids == ("1", "3")
    assert "left out" in caplog.text
    assert "1 bad rows" in caplog.text


def test_lines_that_are_no_objects_are_bad_rows(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"id": 1\n\n3\n')
    with pytest.raises(
        ValueError,
        match=r"2 bad rows:\n.*rows\.jsonl:1: expected one JSON object.*\n.*rows\.jsonl:3: expected a JSON object",
    ):
        Messages("rows.jsonl").open(tmp_path)


def test_a_line_may_hold_a_unicode_line_separator(tmp_path):
    (tmp_path / "rows.jsonl").write_text(
        '{"id": 1, "messages": [{"role": "user", "content": "a\u2028b"}]}\n', encoding="utf-8"
    )
    assert Messages("rows.jsonl").open(tmp_path).example(0, 0).question == "a\u2028b"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected an annotation file, found nothing there"),
        ("", "expected examples, found none"),
        ("[{]", "expected a JSON list"),
    ],
)
def test_a_file_without_examples_is_an_error(tmp_path, content, message):
    if content is not None:
        (tmp_path / "rows.jsonl").write_text(content)
    with pytest.raises(ValueError, match=message):
        Messages("rows.jsonl").open(tmp_path)


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"data\.sets limit: expected 1 or more \(or none\), found 0"):
        Messages("rows.jsonl", limit=0)
