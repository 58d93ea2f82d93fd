"""The evaluation: resuming gives the same bytes, nothing leaves the denominator, and other measurements are refused."""

import json
import os
from dataclasses import replace

import pytest

from mmrl.evaluation import (
    Completion,
    IncompleteError,
    PlanError,
    compare,
    cost,
    read_records,
    summarise,
)
from mmrl.evaluation.statistics import clustered_error, paired, wilson
from mmrl.types import Example
from tests.evaluation.factories import EXAMPLES, KilledError, Model, run


def test_a_whole_run(tmp_path):
    seen = []
    summary = run(tmp_path, expected=7, progress=seen.append)
    assert (summary.expected, summary.scored, summary.samples, summary.n, summary.clusters) == (7, 7, 3, 21, 4)
    assert summary.statuses == {"ok": 21}
    assert summary.metrics["accuracy"].mean == pytest.approx(4 / 7)  # items 0, 2, 4, 6 have the answer A
    assert summary.metrics["accuracy"].low < 4 / 7 < summary.metrics["accuracy"].high
    assert seen == [4, 8, 12, 16, 20, 21]
    record = read_records(tmp_path)[4]
    assert (record.item, record.sample, record.cluster, record.tokens) == ("q1", 1, "video0", 3)
    assert record.frames == [[0, 4]]
    assert record.scores["accuracy"] == 0.0


def test_the_plan_is_pairs_in_order_and_batches_do_not_depend_on_examples(tmp_path):
    model = Model()
    run(tmp_path, model)
    assert [len(call) for call in model.calls] == [4, 4, 4, 4, 4, 1]
    assert model.calls[0] == [("q0", 0), ("q0", 1), ("q0", 2), ("q1", 0)]


@pytest.mark.parametrize("killed_after", range(6))
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, killed_after):
    whole = run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "killed", Model(kill_after=killed_after))
    again = Model()
    resumed = run(tmp_path / "killed", again)
    assert (tmp_path / "killed" / "samples.jsonl").read_bytes() == (tmp_path / "whole" / "samples.jsonl").read_bytes()
    assert len(again.calls) == 6 - killed_after  # what is on record is not run again
    assert resumed == whole


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.5, 0.77, 0.999])
def test_a_file_cut_anywhere_ends_with_the_same_bytes(tmp_path, share):
    run(tmp_path)
    path = tmp_path / "samples.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    run(tmp_path)
    assert path.read_bytes() == data


def test_a_finished_run_runs_nothing(tmp_path):
    first, model = run(tmp_path), Model()
    assert run(tmp_path, model) == first
    assert model.calls == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"batch": 5}, "batch: there 4, now 5"),
        ({"samples": 2}, "samples: there 3, now 2"),
        ({"settings": {"weights": "trained"}}, "settings: weights: there 'base', now 'trained'"),
        ({"examples": EXAMPLES[:6]}, "items: there 7, now 6"),
        ({"examples": [replace(EXAMPLES[0], answer="B"), *EXAMPLES[1:]]}, "examples: there"),
    ],
)
def test_records_of_another_measurement_are_refused(tmp_path, changes, named):
    run(tmp_path)
    with pytest.raises(PlanError, match="give another folder, or delete this one") as caught:
        run(tmp_path, **changes)
    assert named in str(caught.value)


def test_records_are_found_by_item_and_sample_and_not_by_their_place(tmp_path):
    run(tmp_path)
    path = tmp_path / "samples.jsonl"
    data, model = path.read_bytes(), Model()
    path.write_bytes(b"".join(reversed(data.splitlines(keepends=True))))
    run(tmp_path, model)
    assert model.calls == []
    assert path.read_bytes() == data


def test_records_without_a_plan_strange_or_twice_are_refused(tmp_path):
    run(tmp_path)
    path = tmp_path / "samples.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[0]]))
    with pytest.raises(PlanError, match="line 22: a second record of item 'q0' sample 0"):
        run(tmp_path)
    path.write_bytes(b"".join([lines[0].replace(b'"q0"', b'"q9"'), *lines]))
    with pytest.raises(PlanError, match="line 1: no such thing in the plan: item 'q9' sample 0"):
        run(tmp_path)
    path.write_bytes(b"".join(lines))
    (tmp_path / "plan.json").unlink()
    with pytest.raises(PlanError, match=r"has samples\.jsonl but no plan\.json"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{not json", "line 2: not JSON"),
        (b"[]", "line 2: expected a record of schema 3"),
        (b'{"schema": 2}', "line 2: expected a record of schema 3, found 2"),
        (b'{"schema": 3}', "line 2: expected a sample, found 4 problems, the first: item: Field required"),
    ],
)
def test_a_spoilt_line_is_named(tmp_path, text, message):
    run(tmp_path)
    path = tmp_path / "samples.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], text, *lines[2:]]) + b"\n")
    with pytest.raises(ValueError, match=message):
        run(tmp_path)
    with pytest.raises(ValueError, match=message):
        read_records(tmp_path)


def test_a_cut_file_is_not_read_as_a_whole_one(tmp_path):
    run(tmp_path)
    path = tmp_path / "samples.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(IncompleteError, match="cut off in writing"):
        read_records(tmp_path)


def test_an_unseen_video_counts_as_wrong(tmp_path):
    summary = run(tmp_path, Model(blind={"q0"}))
    assert summary.statuses == {"media_error": 3, "ok": 18}
    assert summary.n == 21
    assert summary.metrics["accuracy"].mean == pytest.approx(3 / 7)
    record = summary.records[0]
    assert (record.status, record.error, dict(record.scores)) == ("media_error", "q0: no frame decoded", {})


def test_a_blind_run_has_no_mean(tmp_path):
    everything = {example.id for example in EXAMPLES}
    with pytest.raises(IncompleteError, match="none of 21 records could be graded; q0: no frame decoded"):
        run(tmp_path, Model(blind=everything))


def test_a_text_that_cannot_be_parsed_is_graded_and_named(tmp_path):
    def parse(text, example):
        return {"answer": None, "rung": "unparsed" if example.id == "q1" else "exact", "format_ok": False}

    summary = run(tmp_path, parse=parse)
    assert summary.statuses == {"ok": 18, "unparsable": 3}
    assert summary.records[3].parse == {"answer": None, "rung": "unparsed", "format_ok": False}
    assert "accuracy" in summary.records[3].scores


def test_too_few_examples_or_records_are_no_summary(tmp_path):
    with pytest.raises(IncompleteError, match="expected 8 examples, found 7"):
        run(tmp_path, expected=8)
    records = run(tmp_path).records
    with pytest.raises(IncompleteError, match="found 20 records of 7 items; run it again"):
        summarise("L1", records[:-1], expected=7, samples=3)
    with pytest.raises(IncompleteError, match="expected 8 items"):
        summarise("L1", records, expected=8, samples=3)
    with pytest.raises(ValueError, match="21 records hold 20 different"):
        summarise("L1", [*records[:-1], records[0]], expected=7, samples=3)


def test_a_record_that_lacks_a_metric_is_no_zero(tmp_path):
    records = list(run(tmp_path).records)
    records[2] = replace(records[2], scores={"accuracy": 1.0})
    with pytest.raises(IncompleteError, match=r"item 'q0' lacks \['length'\]"):
        summarise("L1", records, expected=7, samples=3)


def test_a_score_that_is_no_number_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="example 'q0', metric 'accuracy': expected a finite number, found nan"):
        run(tmp_path, graded=lambda *_: {"accuracy": float("nan")})


def test_a_sampler_that_loses_one_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="4 completions asked for, 3 returned"):
        run(tmp_path, lambda examples, indices: Model()(examples, indices)[1:])


def test_a_plan_needs_examples_with_ids_of_their_own(tmp_path):
    with pytest.raises(ValueError, match="1 ids occur more than once, such as 'q0'"):
        run(tmp_path, examples=[EXAMPLES[0], EXAMPLES[0]])
    with pytest.raises(ValueError, match="found 0 examples"):
        run(tmp_path, examples=[])
    with pytest.raises((ValueError, TypeError), match="status"):
        Completion("", status="unparsable")


def test_intervals_are_clustered_by_video(tmp_path):
    """Both questions of a video right or wrong together: the interval is that of half as many items."""
    examples = [Example(id=str(n), question="", answer="AB"[(n // 2) % 2], cluster=str(n // 2)) for n in range(200)]
    found = run(tmp_path, examples=examples, samples=1).metrics["accuracy"]
    assert (found.low, found.high) == pytest.approx(wilson(0.5, 100), abs=0.01)


def test_compare_pairs_by_item_and_sample(tmp_path):
    before = run(tmp_path / "before", Model(said="A"))
    after = run(tmp_path / "after", Model(said="B"))
    found = compare(before, after)["accuracy"]
    change = [(example.answer == "B") - (example.answer == "A") for example in EXAMPLES for _ in range(3)]
    clusters = [example.cluster for example in EXAMPLES for _ in range(3)]
    assert (found.before, found.after, found.n, found.clusters) == (pytest.approx(4 / 7), pytest.approx(3 / 7), 21, 4)
    assert found.mean == pytest.approx(-1 / 7)
    assert found == paired([c == -1 for c in change], [c == 1 for c in change], clusters)
    assert found.high - found.mean == pytest.approx(3.182 * clustered_error(change, clusters), rel=1e-3)
    assert compare(before, list(reversed(after.records)))["accuracy"] == found  # the order does not matter


def test_compare_refuses_what_is_not_the_same(tmp_path):
    records = run(tmp_path).records
    with pytest.raises(IncompleteError, match="3 records are in one of the two only, such as item 'q6' sample 0"):
        compare(records, records[:-3])
    other = [replace(record, scores={"accuracy": 1.0}) for record in records]
    with pytest.raises(ValueError, match="metrics differ"):
        compare(records, other)


def test_samples_are_lines_of_plain_json(tmp_path):
    run(tmp_path)
    lines = (tmp_path / "samples.jsonl").read_text().split("\n")
    assert lines.pop() == ""
    assert len(lines) == 21
    row = json.loads(lines[0])
    assert row["response"]["text"].endswith("ü\u2028\n")
    assert set(row) == {"item", "sample", "request", "response", "schema"}
    assert row["request"]["media"][0]["indices"] == [0, 4]


def test_what_it_cost_is_written_apart(tmp_path):
    with pytest.raises(KilledError):
        run(tmp_path, Model(kill_after=3))
    with (tmp_path / "costs.jsonl").open("a") as file:
        file.write('{"samples": 4, "tok')  # a kill while it was written
    run(tmp_path)
    assert cost(tmp_path)["tokens"] == 3 * 21
    assert cost(tmp_path)["seconds"] >= 0


def test_one_process_at_a_time(tmp_path):
    def nested(examples, indices):
        with pytest.raises(PlanError, match=rf"process {os.getpid()} on .* is writing here"):
            run(tmp_path)
        return Model()(examples, indices)

    assert run(tmp_path, nested).n == 21


def test_what_failed_is_tried_again_on_request_in_its_own_batches(tmp_path):
    whole = run(tmp_path / "whole")
    out = tmp_path / "mended"
    assert run(out, Model(blind={"q2"})).statuses["media_error"] == 3
    untouched = Model()
    run(out, untouched)
    assert untouched.calls == []  # not unless asked
    again = Model()
    assert run(out, again, retry=True) == whole
    assert [call[0] for call in again.calls] == [("q1", 1), ("q2", 2)]  # the two batches that held q2
    assert (out / "samples.jsonl").read_bytes() == (tmp_path / "whole" / "samples.jsonl").read_bytes()
