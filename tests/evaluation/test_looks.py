"""Looking at what was found: compare, audit, view, ls, and what conditions tell."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmrl.cli import app
from mmrl.evaluation import Completion, IncompleteError, Item, read_items, read_records
from mmrl.evaluation.audits.shortcuts import guesses
from mmrl.evaluation.commands.compare import compared
from mmrl.evaluation.condition_effects import ConditionRecords, effects
from mmrl.types import Example, Media
from tests.evaluation.factories import EXAMPLES, Model, run

CHOICES = ("open the drawer", "close it", "wash the cup", "leave")


@pytest.fixture
def mmrl(monkeypatch, capsys):
    def ask(*told):
        monkeypatch.setattr(sys, "argv", ["mmrl", "eval", *map(str, told)])
        with pytest.raises(SystemExit) as end:
            app.main()
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    return ask


def test_compare_prints_and_tells_json(mmrl, tmp_path):
    for name, said in (("before", "A"), ("after", "B")):
        run(tmp_path / name / "L1", Model(said=said))
    status, out, _ = mmrl("compare", tmp_path / "before", tmp_path / "after")
    assert status == 0
    for shown in ("accuracy", "−14.3", "Holm", "MDE", "gained"):
        assert shown in out
    status, out, _ = mmrl("compare", tmp_path / "before", tmp_path / "after", "--json")
    found = json.loads(out)["L1"]["accuracy"]
    assert found["difference"]["mean"] == pytest.approx(-1 / 7)
    assert found["discordant"] == [12, 9]
    assert found["p_holm"] >= found["difference"]["p_signflip"]


def test_compare_refuses_other_sets_other_questions_and_incomplete_runs(mmrl, tmp_path):
    run(tmp_path / "a" / "L1")
    run(tmp_path / "b" / "L1")
    run(tmp_path / "b" / "L2")
    assert mmrl("compare", tmp_path / "a", tmp_path / "b")[0] == 2
    run(tmp_path / "c", examples=[replace(one, answer="C") for one in EXAMPLES])
    with pytest.raises(ValueError, match="not the same data"):
        compared(tmp_path / "a", tmp_path / "c", "default")
    path = tmp_path / "a" / "L1" / "samples.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    status, _, err = mmrl("compare", tmp_path / "a", tmp_path / "b" / "L1")
    assert status == 2
    assert "20 samples" in err


def test_an_untouched_run_has_nothing_broken(mmrl, tmp_path):
    run(tmp_path / "L1", Model(blind={"q3"}))
    status, out, _ = mmrl("audit", tmp_path)
    assert status == 0
    assert "Nothing broken" in out
    assert "3 of 21 could not be asked" in out


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("items.jsonl", lambda data: data.replace(b'"answer": "B"', b'"answer": "A"', 1), "is not the file that was planned"),
        ("samples.jsonl", lambda data: data[: len(data) // 2], "run the evaluation again to resume it"),
        ("samples.jsonl", lambda data: data.replace(b'"q1"', b'"q9"', 1), "1 pairs are missing, such as ('q1', 0)"),
        ("scores.default.jsonl", lambda data: data.split(b"\n", 1)[1], "are not those of these samples"),
    ],
)  # fmt: skip
def test_what_was_changed_is_broken(mmrl, tmp_path, file, change, said):
    run(tmp_path / "L1")
    path = tmp_path / "L1" / file
    path.write_bytes(change(path.read_bytes()))
    status, out, _ = mmrl("audit", tmp_path)
    assert status == 1
    assert said in " ".join(out.split())


def test_rules_of_the_options_alone_are_tried():
    def item(n, gold, longest):
        choices = tuple("x" * (9 if letter == longest else 3) + letter for letter in "ABCD")
        return Item(f"i{n}", f"c{n}", "what?", gold, "choice", choices, (), {})

    items = [item(n, "ABCD"[n % 4], "ABCD"[n % 4]) for n in range(40)]
    found = dict(line.split(": ") for line in guesses(items))
    assert found["always A"].startswith("25.0 % [")
    assert found["always A"].endswith("] of 40, chance 25.0")
    assert found["the longest option"].startswith("100.0 % [")
    assert found["the longest option"].endswith("ABOVE CHANCE")


def test_the_page_shows_everything_and_runs_nothing(mmrl, tmp_path):
    nasty = "<think>so</think><answer>B</answer><script>alert(1)</script>"
    rich = [replace(one, choices=CHOICES, question="<b>what</b>?") for one in EXAMPLES[:2]]

    def model(examples, samples):
        return [Completion(nasty, 3) for _ in examples]

    run(tmp_path / "L1", model, examples=rich, samples=1)
    status, out, _ = mmrl("view", tmp_path)
    page = (tmp_path / "view.html").read_text()
    assert status == 0
    assert str(tmp_path / "view.html") in out.replace("\n", "")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<mark>B</mark>" in page
    assert "&lt;b&gt;what" in page
    assert "http" not in page
    mmrl("view", tmp_path, "--wrong", "--out", tmp_path / "wrong.html")
    assert (tmp_path / "wrong.html").read_text().count("<article>") == 2  # by the first letter, both are
    mmrl("view", tmp_path, "--status", "truncated", "--out", tmp_path / "cut.html")
    assert "Nothing of this kind" in (tmp_path / "cut.html").read_text()


def test_ls_lists_benchmarks_conditions_and_unfinished_runs(mmrl, tmp_path):
    status, out, _ = mmrl("ls", tmp_path)
    assert status == 0
    assert "seed_bench_r1" in out
    assert "options_only" in out


def test_score_from_the_command_line(mmrl, tmp_path):
    run(tmp_path / "L1", examples=[replace(one, choices=CHOICES) for one in EXAMPLES])
    status, out, _ = mmrl("score", tmp_path, "strict=accuracy", "loose=lenient", "--name", "both")
    assert status == 0
    assert "strict" in out
    assert set(read_records(tmp_path / "L1", "both")[0].scores) == {"strict", "loose"}
    assert json.loads((tmp_path / "summary.both.json").read_text())["levels"]["L1"]["n"] == 21
    assert mmrl("score", tmp_path, "strict")[0] == 2
    assert "graders" in mmrl("score", tmp_path)[2]  # the run came with a function, which has no name


def looks(tmp_path, **answers):
    """Ten questions under conditions, each with the letters that were answered; all golds are A."""
    found = {}
    for name, said in answers.items():
        name = name.replace("_1", ":1")
        examples = [
            Example(f"q{n}", "?", "A", "choice", CHOICES, (Media("video", Path("v")),), cluster=f"v{n // 2}")
            for n in range(len(said))
        ]
        letters = {example.id: letter for example, letter in zip(examples, said, strict=True)}

        def model(some, samples, letters=letters):
            return [Completion(letters[example.id]) for example in some]

        out = tmp_path / name.replace(":", "-")
        run(out, model, examples, parse=lambda text, example: {"extracted": text, "rung": "exact"}, samples=1)
        records = {(record.item, record.sample): record for record in read_records(out)}
        found[name] = ConditionRecords(records, read_items(out))
    return found


def test_gains_by_hand(tmp_path):
    found = {
        (one.name, one.of): one
        for one in effects(
            looks(tmp_path, full="AAAAAAAABB", blind="AABBBBBBBB", shuffled="AAAABBBBBB", last_frame="AAABBBBBBB", reversed="BBBBAAAABA", rotate_1="AAAAAACCBB"),
            "accuracy",
        )
    }  # fmt: skip
    values = {name: one.value for name, one in found.items()}
    assert values["visual gain", ("full", "blind")] == pytest.approx(0.6)
    assert values["temporal gain", ("full", "shuffled", "last_frame")] == pytest.approx(0.4)  # 8 - max(4, 3)
    assert values["tss", ("full", "shuffled")] == pytest.approx(4 / 8)
    assert values["tss", ("full", "reversed")] == pytest.approx(4 / 8)
    assert values["rr", ("full", "rotate:1")] == pytest.approx(6 / 8)
    assert values["circular", ("full", "rotate:1")] == pytest.approx(0.6)
    assert found["tss", ("full", "shuffled")].n == 8
    assert all(one.low <= one.value <= one.high for one in found.values())


def test_the_gains_interval_is_the_paired_one(tmp_path):
    from mmrl.evaluation.statistics import bootstrap_interval

    some = looks(tmp_path, full="AAAAAAAABB", blind="AABBBBBBBB")
    (gain,) = effects(some, "accuracy")
    change = [a - b for a, b in zip(some["full"].right("accuracy"), some["blind"].right("accuracy"), strict=True)]
    clusters = [record.cluster for record in some["full"].records.values()]
    assert (gain.low, gain.high) == pytest.approx(bootstrap_interval(np.array(change), clusters), abs=0.02)


def test_gains_need_full_and_the_same_pairs(tmp_path):
    some = looks(tmp_path, full="AAAA", blind="AABB")
    with pytest.raises(IncompleteError, match="expected the condition 'full'"):
        effects({"blind": some["blind"]}, "accuracy")
    less = ConditionRecords(dict(list(some["blind"].records.items())[:-1]), some["blind"].items)
    with pytest.raises(IncompleteError, match="1 records are in only one of full and blind"):
        effects(some | {"blind": less}, "accuracy")
