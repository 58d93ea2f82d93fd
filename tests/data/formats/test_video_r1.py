"""Video-R1's dialect."""

import json
from pathlib import Path

import pytest

from mmrl.data.formats.video_r1 import VideoR1
from mmrl.types import Media


def row(number=1, **changes):
    return {
        "problem_id": number,
        "problem": "How many cups are there?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "options": ["A. one", "B. two: e.g. a pair", "C. three"],
        "solution": "<answer>B</answer>",
        "path": "./NeXT-QA/1/2.mp4",
        "data_source": "NeXT-QA",
        "process": "",
    } | changes


def test_a_list_and_lines_are_the_same(tmp_path, write_rows):
    rows = [row(1), row(2, data_type="image", path="./x/a.png")]
    (tmp_path / "list.json").write_text(json.dumps(rows, indent=1))
    of_list, of_lines = VideoR1("list.json").open(tmp_path), VideoR1(write_rows(rows)).open(tmp_path)
    assert [of_list.example(index, 0) for index in (0, 1)] == [of_lines.example(index, 0) for index in (0, 1)]
    example = of_list.example(0, 0)
    assert (example.id, example.answer, example.choices) == ("1", "B", ("one", "two: e.g. a pair", "three"))
    assert example.media == (Media("video", Path("NeXT-QA/1/2.mp4")),)
    assert (example.cluster, example.demonstration, example.fields) == ("NeXT-QA/1/2.mp4", None, row(1))


@pytest.mark.parametrize(
    ("problem_type", "kind"),
    [("numerical", "numerical"), ("regression", "regression"), ("OCR", "ocr"), ("free-form", "free")],
)
def test_the_other_kinds_have_no_options(tmp_path, write_rows, problem_type, kind):
    name = write_rows([row(problem_type=problem_type, options=[], solution="<answer> 3.50 </answer>")])
    example = VideoR1(name).open(tmp_path).example(0, 0)
    assert (example.kind, example.answer, example.choices) == (kind, "3.50", ())


def test_a_reasoning_and_the_solution_are_a_demonstration(tmp_path, write_rows):
    example = VideoR1(write_rows([row(process="<think>Two.</think>")])).open(tmp_path).example(0, 0)
    assert example.demonstration == "<think>Two.</think>\n<answer>B</answer>"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problem_type": "essay"}, "problem_type: expected one of multiple choice, numerical, .*found essay"),
        ({"data_type": "audio"}, "data_type: expected one of video, image, found audio"),
        ({"options": ["A. one", "C. two"]}, r'options\[1\]: expected "B. " and the option\'s text, found C. two'),
        ({"options": ["one", "two"]}, r'options\[0\]: expected "A. "'),
        ({"options": []}, "options: expected options, for a multiple choice, found none"),
        ({"options": ["A. one", "B. one"]}, "options: expected options that differ"),
        ({"solution": "B"}, 'solution: expected "<answer>", the answer, "</answer>", found B'),
        ({"solution": "<answer> </answer>"}, "solution: expected"),
        ({"solution": "<answer>D</answer>"}, "solution: expected one of the letters A, B, C, found D"),
        ({"problem": " "}, "problem: expected text that is not empty"),
        ({"path": None}, "path: expected text that is not empty"),
        ({"process": 3}, "process: expected text, found 3"),
    ],
)
def test_a_malformed_row_is_told_where_what_and_what_to_do(tmp_path, write_rows, changes, message):
    with pytest.raises(ValueError, match=rf"rows\.jsonl:1: {message}"):
        VideoR1(write_rows([row(**changes)])).open(tmp_path)
