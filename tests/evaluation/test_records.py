"""Records: what is written is what is read, and what is none is refused by line and field."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mmrl.evaluation import Completion, Item, Response, Sample, Verdict
from mmrl.evaluation.records import item_of
from mmrl.evaluation.store import line, read_line, read_lines, write_lines
from mmrl.types import Example, Media, Span

EXAMPLE = Example(
    "a", "what?", "B", "choice", ("x", "y"), (Media("video", Path("v.mp4"), Span(1, 2.5)), Media("image", Path("i.png"))),
    cluster="v", fields={"row": [1, None, {"é": 0.1}]},
)  # fmt: skip
SAMPLE = Sample("a", 0, None, Response("text", 3, True, "ok", None, -0.25))


def test_an_item_is_read_as_it_was_written(tmp_path):
    write_lines(tmp_path / "items.jsonl", [item_of(EXAMPLE)])
    (item,) = read_lines(Item, tmp_path / "items.jsonl")
    assert item.example == EXAMPLE
    assert item == item_of(EXAMPLE)


@pytest.mark.parametrize("record", [SAMPLE, Verdict("a", 1, {"rung": "tags"}, {"m": None, "n": 0.1})])
def test_records_are_read_as_they_were_written(tmp_path, record):
    write_lines(tmp_path / "x", [record])
    assert read_lines(type(record), tmp_path / "x") == [record]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"sample": "0"}, "sample: Input should be a valid integer"),
        ({"more": 1}, "more: Unexpected keyword argument"),
        ({"response": {"text": "x"}}, "response.tokens: Field required"),
        ({"response": asdict(SAMPLE.response) | {"status": "fine"}}, "response.status: Input should be 'ok'"),
    ],
)
def test_a_line_that_is_no_record_is_named_with_its_field(change, place):
    text = json.dumps(asdict(SAMPLE) | change).encode()
    with pytest.raises(ValueError, match=r"f, line 7: expected a sample, found") as caught:
        read_line(Sample, text, Path("f"), 7)
    assert place in str(caught.value)


def test_a_number_that_json_has_not_is_refused():
    with pytest.raises(ValueError, match="item 'a': expected plain JSON in its sample"):
        line(replace(SAMPLE, response=replace(SAMPLE.response, answer_logprob=float("nan"))))
    with pytest.raises(ValueError, match=r"item 'a': expected plain JSON in its item: .*Path"):
        line(item_of(replace(EXAMPLE, fields={"path": Path("x")})))


@pytest.mark.parametrize("text", ["a\ud800b", "\u2028\n\r\x00", "", " \n", "x" * 100_000, '"}\n{"'])
def test_whatever_a_model_wrote_is_one_line_and_is_read_again(tmp_path, text):
    sample = Sample("a", 0, None, Completion(text).response)
    write_lines(tmp_path / "x", [sample])
    assert (tmp_path / "x").read_bytes().count(b"\n") == 1
    assert read_lines(Sample, tmp_path / "x") == [sample]


def test_a_text_of_space_is_empty_and_a_cut_one_is_truncated():
    assert Completion(" \n").response.status == "empty"
    assert Completion("", status="truncated").response.status == "truncated"
