"""The graders, how they are found by name or path, and that one which fails is an error and not a zero."""

import pytest
import torch

from mmrl.rewards import GRADERS, check_gold, grade, grade_one, load_grader, trace
from mmrl.types import Example

ITEM = Example(id="kitchen-7", question="What next?", answer="B", choices=("open drawer", "close tap"))
RIGHT = "<think>The tap runs. So B.</think><answer>B</answer>"


def item(**changes):
    fields = {"id": "x", "question": "q", "answer": "B", "kind": "choice", "choices": ("open drawer", "close tap")}
    return Example(**{**fields, **changes})


def scores(text, example=ITEM, names=GRADERS):
    return grade_one(text, example, {name: GRADERS[name] for name in names if name != "mra"})


def test_a_good_completion_scores_one_everywhere():
    assert set(scores(RIGHT).values()) == {1.0}


@pytest.mark.parametrize(
    ("text", "accuracy", "official", "lenient", "form"),
    [
        ("<think>t</think><answer>A</answer>", 0, 0, 0, 1),
        ("<think>t</think><answer>B.</answer>", 0, 0, 1, 1),  # penalised by format in strict scorers only
        ("<think>t</think><answer>(B) close tap</answer>", 0, 0, 1, 1),
        ("<think>t</think><answer>A</answer><answer>B</answer>", 1, 0, 1, 1),  # last against first block
        ("<answer>B</answer>", 1, 1, 1, 0),
        ("B", 0, 1, 1, 0),  # the evaluation script compares the whole output where there is no block
        ("The answer is B.", 0, 0, 1, 0),
        ("", 0, 0, 0, 0),
        ("<think>So B", 0, 0, 0, 0),
    ],
)
def test_strict_official_and_lenient_readings(text, accuracy, official, lenient, form):
    found = scores(text, names=("accuracy", "official", "lenient", "format"))
    assert found == {"accuracy": accuracy, "official": official, "lenient": lenient, "format": form}


@pytest.mark.parametrize(
    ("kind", "gold", "answer", "accuracy", "official", "lenient"),
    [
        ("numerical", "1,000", "1000", 0, 0, 1),
        ("numerical", "5", "5", 1, 1, 1),
        ("numerical", "5", "five", 0, 0, 1),
        ("regression", "4", "3", 0.75, 0.5, 0.75),  # evaluation scores it by mean relative accuracy
        ("ocr", "stop sign", "stop sign", 1, 0, 1),  # not scored by the published evaluation
        ("free", "the cat", "the cat", 1, 0, 1),
    ],
)
def test_kinds_are_graded_by_their_rules(kind, gold, answer, accuracy, official, lenient):
    found = scores(
        f"<answer>{answer}</answer>", item(kind=kind, answer=gold, choices=()), ("accuracy", "official", "lenient")
    )
    assert found == pytest.approx({"accuracy": accuracy, "official": official, "lenient": lenient})


@pytest.mark.parametrize("kind", ["choice", "numerical", "regression", "ocr", "free"])
def test_without_an_answer_every_kind_scores_zero(kind):
    example = item(kind=kind, answer="B" if kind in ("choice", "ocr", "free") else "4")
    assert scores("no tags at all", example, ("accuracy", "lenient")) == {"accuracy": 0, "lenient": 0}


def test_mra_is_a_grader():
    assert grade_one("<answer>1</answer>", item(kind="regression", answer="2"), {"mra": load_grader("mra")}) == {
        "mra": 0.1
    }


def test_grade_returns_a_row_of_float32_a_grader():
    found = grade([RIGHT, "", RIGHT], ITEM, {"accuracy": load_grader("accuracy"), "format": load_grader("format")})
    assert list(found) == ["accuracy", "format"]
    assert found["accuracy"].dtype == torch.float32
    assert found["accuracy"].tolist() == [1, 0, 1]


def test_a_grader_sees_the_row_and_the_example_wins():
    seen = {}

    def spy(completion, **fields):
        seen.update(fields, text=completion)
        return True

    row = {"domain": "kitchen", "answer": "raw", "completion": "raw", "id": 3}
    example = item(id="x-3", fields=row)
    assert grade(["t"], example, {"spy": spy})["spy"].item() == 1.0
    assert seen == {
        "text": "t",
        "domain": "kitchen",
        "id": "x-3",
        "question": "q",
        "answer": "B",
        "kind": "choice",
        "choices": example.choices,
    }


def test_an_exception_passes_through_with_the_name_of_grader_and_example():
    def broken(*_, **__):
        return 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        grade(["t"], ITEM, {"mine": broken})
    assert caught.value.__notes__ == ["in grader 'mine', example 'kitchen-7'"]


def returning(value):
    return lambda *_, **__: value


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_no_finite_number_is_an_error(value):
    with pytest.raises(ValueError, match="grader 'mine', example 'kitchen-7': expected a finite number"):
        grade(["t"], ITEM, {"mine": returning(value)})


def test_a_text_for_a_score_is_an_error():
    with pytest.raises(ValueError, match=r"grader 'mine'.*expected a finite number, found '1'"):
        grade(["t"], ITEM, {"mine": returning("1")})


MINE = """
from __future__ import annotations
from dataclasses import dataclass

LIMIT = 3

@dataclass
class Rule:
    limit: int

def short(completion, *, answer, **fields):
    return float(len(completion) < Rule(LIMIT).limit)

def narrow(completion, answer):
    return 0.0
"""


def test_your_own_grader_by_path(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    grader = load_grader("mine.py:short")
    assert grade(["ab", "abcd"], ITEM, {"short": grader})["short"].tolist() == [1, 0]
    assert load_grader(f"{tmp_path}/mine.py:short") is grader


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("acuracy", "expected one of accuracy, lenient"),
        ("mine.py", "expected one of accuracy"),
        (":short", "expected one of accuracy"),
        ("other.py:short", "no file .*other.py; paths are relative to the current directory"),
        ("mine.py:long", "has no 'long'; it has .*short"),
        ("mine.py:LIMIT", "expected a function, found int"),
        ("mine.py:narrow", "add \\*\\*fields"),
        ("mine.txt:short", "expected a Python file"),
    ],
)
def test_a_spec_that_names_nothing_says_what_to_do(tmp_path, monkeypatch, spec, message):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.txt").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        load_grader(spec)


def test_a_file_that_fails_to_run_fails_again(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("def f(completion, **fields): return 0\nraise RuntimeError('half')")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="half"):
            load_grader("broken.py:f")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": "B."}, "expected one letter of AB, found 'B.'"),  # another file of the same data set writes it so
        ({"answer": "C"}, "expected one letter of AB"),
        ({"answer": None}, "expected a gold"),
        ({"answer": " ", "kind": "free"}, "expected a gold"),
        ({"answer": "two", "kind": "numerical"}, "expected a finite number"),
        ({"answer": "<answer>2</answer>", "kind": "regression"}, "expected a finite number"),
    ],
)
def test_a_gold_that_nothing_can_match_is_found_beforehand(changes, message):
    with pytest.raises(ValueError, match=message):
        check_gold(item(**changes))


def test_a_good_gold_passes():
    check_gold(item())
    check_gold(item(answer="1,000", kind="numerical", choices=()))
    check_gold(item(answer="A", choices=()))


def test_the_trace_tells_how_a_text_was_read():
    start = RIGHT.index("<answer>") + len("<answer>")
    assert trace(RIGHT, ITEM) == {
        "concluded": "B",
        "answer": "B",
        "format_ok": True,
        "multiple": False,
        "extracted": "B",
        "rung": "exact",
        "span": [start, start + 1],
        "alternatives": [],
    }
    assert trace("hm", ITEM)["rung"] == "unparsed"
    assert trace("<answer>2 m</answer>", item(kind="numerical", answer="2"))["extracted"] == "2"
    assert trace("<answer>B.</answer>", item(answer="B", choices=()))["rung"] == "tags"
    several = trace("<answer>A</answer><answer>B</answer>", ITEM)
    assert (several["extracted"], several["multiple"], several["alternatives"]) == ("B", True, ["A"])
