"""Examining under a condition: through the command, on record, and never mixed with another condition's records."""

import json
import shutil
import sys

import pytest

from mmrl.cli import app
from mmrl.config.load import dump, parse
from mmrl.config.schema import EvalConfig
from mmrl.evaluation.samplers import sampler_of
from mmrl.types import Decoding
from tests import run_fixtures, tiny_models


@pytest.fixture
def evaluate(root, tmp_path, monkeypatch, capsys):
    """``mmrl eval run`` on the rows with videos under a condition: its status, what it says, and its records."""

    own = tmp_path / "data"
    shutil.copytree(root, own, ignore=shutil.ignore_patterns("model", "learnt", "answers"))

    def run(condition: str, out: str, rows: str = "films.jsonl"):
        section = {
            "root": str(own),
            "sets": [{"name": "all", "format": "messages", "file": rows}],
            "template": "plain",
            "graders": {"accuracy": "accuracy"},
            "condition": condition,
            "decoding": {"temperature": 1.0, "max_new_tokens": 8},
            "workers": 0,
        }
        plain = {"out": str(tmp_path / out), "model": {"path": str(root / "answers")}, "evaluation": section}
        path = tmp_path / "eval.yaml"
        path.write_text(dump(parse(EvalConfig, plain, "made")))
        monkeypatch.setattr(sys, "argv", ["mmrl", "eval", "run", str(path)])
        with pytest.raises(SystemExit) as end:
            app.main()
        records = tmp_path / out / "all" / "samples.jsonl"
        return end.value.code or 0, capsys.readouterr().err, run_fixtures.lines(records) if records.exists() else []

    for name, kept in (("films.jsonl", (0, 3)), ("stills.jsonl", (1, 2))):
        rows = [row for index, row in enumerate(run_fixtures.lines(root / "d.jsonl")) if index % 4 in kept]
        (own / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def frames(records):
    return [[medium["indices"] for medium in record["request"]["media"] if medium["indices"]] for record in records]


def test_each_condition_says_which_frames_it_showed(evaluate):
    seen = {}
    for condition in ("full", "observation_only", "last_frame", "reversed", "shuffled", "frames:2"):
        status, said, records = evaluate(condition, condition.replace(":", "-"))
        assert status == 0, said
        assert len(records) == 4
        seen[condition] = frames(records)
    assert seen["full"] == [[[0, 1, 2, 3]]] * 4
    assert seen["observation_only"] == [[]] * 4
    assert seen["last_frame"] == [[[3, 3, 3, 3]]] * 4
    assert seen["reversed"] == [[[3, 2, 1, 0]]] * 4
    assert seen["frames:2"] == [[[0, 3]]] * 4
    assert all(sorted(order) == [0, 1, 2, 3] for (order,) in seen["shuffled"])
    assert len({str(order) for order in seen["shuffled"]}) > 1


def test_records_of_one_condition_are_not_taken_for_another(evaluate):
    assert evaluate("full", "same")[0] == 0
    status, said, _ = evaluate("shuffled", "same")
    assert status == 2
    assert "holds another measurement" in said


def test_a_set_without_videos_is_refused(evaluate):
    status, said, records = evaluate("shuffled", "none", "stills.jsonl")
    assert status == 2
    assert "evaluation 'all': condition 'shuffled' expected examples with videos, found none" in said
    assert not records


def test_samples_of_a_question_share_its_prompt_and_are_what_each_would_be_alone():
    policy = tiny_models.policy()
    policy.model.eval()
    names = ["film"] * 3 + ["text"] * 2 + ["photo"]
    made = {group.prompt.example.id: group.prompt for group in run_fixtures.fixed_groups(policy)}
    examples = [tiny_models.example(name, tuple(m.kind for m in made[name].example.every_media)) for name in names]
    media = [
        tuple(tiny_models.clip(3) if m.kind == "video" else tiny_models.image() for m in e.every_media)
        for e in examples
    ]
    one = sampler_of(policy, "plain", Decoding(max_new_tokens=1), 64)
    together = one.answer(examples, media, [0, 1, 2, 0, 1, 0], seed=4)
    prompts = policy.prompts([examples[i] for i in (0, 3, 5)], [media[i] for i in (0, 3, 5)])
    assert policy.work.taken().forward_tokens == sum(len(prompt.tokens) for prompt in prompts)
    several = sampler_of(policy, "plain", Decoding(max_new_tokens=6), 64)
    alone = [several.answer([e], [m], [k], 4)[0] for e, m, k in zip(examples, media, [0, 1, 2, 0, 1, 0], strict=True)]
    assert [c.text for c in several.answer(examples, media, [0, 1, 2, 0, 1, 0], 4)] == [c.text for c in alone]
    assert [c.request.tokens for c in together] == [c.request.tokens for c in alone]
