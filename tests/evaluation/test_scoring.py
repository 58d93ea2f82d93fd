"""Scoring apart from generating: again and again, by several scorers, with verdicts that are missing."""

import json

import pytest

from mmrl.evaluation import IncompleteError, Scorer, compare, read_records, score, summarise
from tests.evaluation.factories import EXAMPLES, Model, grade, run


def test_scoring_again_generates_nothing_and_leaves_other_verdicts(tmp_path):
    first = run(tmp_path)
    before = (tmp_path / "scores.default.jsonl").read_bytes(), (tmp_path / "samples.jsonl").read_bytes()
    records = score(tmp_path, Scorer(lambda text, example: {"short": float(len(text) < 9)}, name="other"))
    assert {name for record in records for name in record.scores} == {"short"}
    assert read_records(tmp_path, "other") == records
    assert tuple(read_records(tmp_path)) == first.records
    assert ((tmp_path / "scores.default.jsonl").read_bytes(), (tmp_path / "samples.jsonl").read_bytes()) == before


def test_other_graders_do_not_make_it_another_measurement(tmp_path):
    run(tmp_path)
    model = Model()
    again = run(tmp_path, model, graded=lambda text, example: {"accuracy": 1.0})
    assert model.calls == []
    assert again.metrics["accuracy"].mean == 1.0


def test_scoring_needs_neither_model_nor_data(tmp_path):
    """Whatever a grader may ask for is in items.jsonl: the row as it was read, too."""
    from dataclasses import replace

    rich = [replace(one, choices=("red", "blue"), fields={"row": {"x": [1, None, "é"]}}) for one in EXAMPLES]
    run(tmp_path, examples=rich)
    seen = []
    score(tmp_path, Scorer(lambda text, example: seen.append(example) or {"one": 1.0}, name="encode_media"))
    assert seen[0] == replace(rich[0], media=())
    assert seen[-1].cluster == "video3"


def test_verdicts_of_the_same_scorer_stand_and_others_are_given_anew(tmp_path):
    calls = []

    def judge(text, example):
        calls.append(example.id)
        return {"judge": 1.0}

    scorer = Scorer(judge, facts={"graders": {"judge": "one"}})
    run(tmp_path)
    score(tmp_path, scorer)
    assert len(calls) == 21
    score(tmp_path, scorer)
    assert len(calls) == 21  # a judge or a time-out may say something else the second time
    score(tmp_path, scorer, anew=True)
    assert len(calls) == 42
    score(tmp_path, Scorer(judge, facts={"graders": {"judge": "two"}}))
    assert len(calls) == 63


def test_a_kill_between_samples_and_scores_costs_nothing(tmp_path):
    whole = run(tmp_path)
    data = (tmp_path / "scores.default.jsonl").read_bytes()
    for cut in (0, 100, len(data) // 2):
        (tmp_path / "scores.default.jsonl").write_bytes(data[:cut])
        with pytest.raises(IncompleteError):
            read_records(tmp_path)
        (tmp_path / "scores.default.json").unlink()
        model = Model()
        assert run(tmp_path, model) == whole
        assert model.calls == []
        assert (tmp_path / "scores.default.jsonl").read_bytes() == data


def test_what_has_no_verdict_widens_the_interval_and_stays_in_the_mean(tmp_path):
    def unsure(text, example):
        return grade(text, example) | {"judge": None if example.id == "q1" else float(example.id != "q2")}

    found = run(tmp_path, samples=1, graded=unsure)
    judge, sure = found.metrics["judge"], found.metrics["accuracy"]
    assert (judge.mean, judge.unscored, judge.best) == (pytest.approx(5 / 7), 1, pytest.approx(6 / 7))
    assert (sure.unscored, sure.best) == (0, None)
    assert found.n == 7
    none = run(tmp_path / "none", samples=1, graded=lambda t, e: {"judge": 0.0 if e.id in ("q1", "q2") else 1.0})
    every = run(tmp_path / "every", samples=1, graded=lambda t, e: {"judge": 0.0 if e.id == "q2" else 1.0})
    assert judge.low == none.metrics["judge"].low
    assert judge.high == every.metrics["judge"].high
    assert json.loads((tmp_path / "scores.default.jsonl").read_text().split("\n")[1])["scores"]["judge"] is None


def test_a_difference_holds_whatever_is_behind_the_missing_verdicts(tmp_path):
    def judge(missing, truth):
        return lambda text, example: {"judge": None if example.id in missing else truth}

    before = run(tmp_path / "a", samples=1, graded=judge((), 0.0))
    after = run(tmp_path / "b", samples=1, graded=judge(("q1",), 1.0))
    wide = compare(before, after)["judge"]
    for truth in (0.0, 1.0):
        known = run(
            tmp_path / f"t{truth}", samples=1, graded=lambda t, e, v=truth: {"judge": v if e.id == "q1" else 1.0}
        )
        exact = compare(before, known)["judge"]
        assert wide.low <= exact.mean <= wide.high
    assert wide.mean == pytest.approx(6 / 7)


def test_missing_verdicts_on_what_is_no_share_have_no_bounds(tmp_path):
    with pytest.raises(ValueError, match="expected one in"):
        run(tmp_path, samples=1, graded=lambda text, example: {"length": None if example.id == "q1" else 40.0})


def test_names_of_scorers_are_names_of_files(tmp_path):
    for name in ("../x", "", "a.b", "a/b"):
        with pytest.raises(ValueError, match="expected a name of letters"):
            Scorer(grade, name=name)


def test_a_folder_that_holds_no_such_verdicts_says_so(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match="expected scores by 'judge', found default"):
        read_records(tmp_path, "judge")
    with pytest.raises(ValueError, match=r"found no items\.jsonl"):
        read_records(tmp_path / "elsewhere")


def test_a_summary_of_another_scorer_counts_all(tmp_path):
    run(tmp_path, Model(blind={"q0"}))
    records = score(tmp_path, Scorer(lambda text, example: {"one": 1.0}, name="other"))
    assert summarise("L1", records, 7, 3).metrics["one"].mean == pytest.approx(18 / 21)
