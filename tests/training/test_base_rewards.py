"""The table of what the base model earns: written once, gone on with, read by a run, refused where it is another's."""

import json
import math
from pathlib import Path

import pytest
import torch

from mmrl.algorithms import CDPG, FDPG, GRPO
from mmrl.config.load import apply, parse
from mmrl.config.schema import Config, ConfigError
from mmrl.functional.targets import Tilt
from mmrl.runtime import json_lines
from mmrl.training.base_rewards import BaseRewardsError, begin, facts, read_table, score_base_model, summary
from mmrl.training.build import build
from tests import run_fixtures
from tests.models.vision.test_feature_cache import Hook


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    """A config and its table of three completions an example."""
    folder = tmp_path_factory.mktemp("prepared")
    path = folder / "sub" / "base.jsonl"
    config = run_fixtures.config(root, folder / "run", "grpo", model=root / "answers", base_rewards=str(path), steps=1)
    return config, score_base_model(config, 3, quiet=True)


def test_every_example_has_its_rewards(made):
    _, path = made
    head, *rows = run_fixtures.lines(path)
    assert head["samples"] == 3
    assert sorted(row["id"] for row in rows) == [f"e{i}" for i in range(8)]
    assert all(len(row["rewards"]["accuracy"]) == 3 for row in rows)
    assert all(row["rewards"]["total"] == row["rewards"]["accuracy"] for row in rows)  # the only reward, at weight 1


def test_a_row_says_how_hard_its_example_is():
    earned = {"accuracy": torch.tensor([1.0, 0, 0, 0]), "total": torch.tensor([2.0, 1, 0, 1])}
    # k = 1 of n = 4: (k + 1/2) / (n + 1) = 0.3
    plain = summary(earned, GRPO())
    assert plain == pytest.approx({"pass_rate": 0.25, "difficulty": 0.7})
    assert summary(earned, CDPG()) == pytest.approx(plain | {"log_z": math.log(0.3)})
    tilted = summary(earned, FDPG(target=(Tilt(0.5, "accuracy", 0, 1),)))
    assert tilted["log_z"] == pytest.approx(math.log(1 + 0.3 * math.expm1(2)))


def test_a_run_with_a_frozen_tower_finds_what_was_seen_while_preparing(root, tmp_path):
    frozen = {"learning_rates": {"language_model": 1e-4, "projector": 0.0, "vision_tower": 0.0}}
    data = run_fixtures.settings(root, tmp_path)["data"] | {"cache_dir": str(tmp_path / "cache")}
    options = dict(base_rewards=str(tmp_path / "base.jsonl"), steps=2, data=data, optimizer=frozen)
    config = run_fixtures.config(root, tmp_path / "run", "grpo", **options)
    score_base_model(config, 2, quiet=True)
    run = build(config, quiet=True)
    hook = Hook(run.feeder.policy.model)
    run.fit(quiet=True)
    assert hook.media == 0


def test_it_goes_on_where_it_was_killed(made, tmp_path):
    config, path = made
    text = path.read_text()
    half = tmp_path / "half.jsonl"
    half.write_text(text[: len(text) // 2])
    other = config.model_copy(update={"base_rewards": str(half)})
    score_base_model(other, 3, quiet=True)
    key = {row["id"]: row for row in run_fixtures.lines(path)[1:]}
    assert {row["id"]: row for row in run_fixtures.lines(half)[1:]} == key
    with pytest.raises(ConfigError, match="--samples: expected 3"):
        score_base_model(other, 4, quiet=True)


def test_a_run_is_told_what_the_base_model_earned(made):
    config, path = made
    run = build(config, quiet=True)
    run.fit(quiet=True)
    rows = {row["id"]: row["rewards"] for row in run_fixtures.lines(path)[1:]}
    for scored in run.trainer.last:
        assert scored.base_rewards["total"].tolist() == pytest.approx(rows[scored.group.prompt.example.id]["total"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (None, "base_rewards: expected a table of what the base model earns, found nothing at"),
        ({"id": "e0", "rewards": {}}, "expected a table of mmrl prepare, found no line about how it was made"),
        ({"made_with": {"model": "another"}}, "made with another code: expected"),
    ],
)
def test_what_is_no_table_of_this_run_is_refused(made, tmp_path, line, said):
    config, _ = made
    other = tmp_path / "base.jsonl"
    if line is not None:
        other.write_text(json.dumps(line) + "\n")
    changed = config.model_copy(update={"base_rewards": str(other), "out": str(tmp_path / "run")})
    with pytest.raises(BaseRewardsError, match=said):
        build(changed, quiet=True)


def test_a_kill_while_a_table_is_opened_again_loses_no_row(tmp_path, monkeypatch):
    """Hours of samples stand in it: it is cut in place, never written anew."""
    path, rows = tmp_path / "base.jsonl", [{"id": f"e{i}", "rewards": {}} for i in range(3)]
    begin(path, {"model": "m"}, 2)
    json_lines.append(path, rows)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"id": "e')
    monkeypatch.setattr("pathlib.Path.write_text", lambda *_: pytest.fail("rewritten in place"))
    monkeypatch.setattr("pathlib.Path.write_bytes", lambda *_: pytest.fail("rewritten in place"))
    assert begin(path, {"model": "m"}, 2) == {"e0", "e1", "e2"}
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ("model.video_pixels=[784, 3136]", "pixels"),
        ("model.image_pixels=[784, 3136]", "pixels"),
        ("model.compute_dtype=bfloat16", "compute"),
        ("model.attn_implementation=eager", "compute"),
        ("data.sets.0.options=file", "sets"),
        ("data.sets.0.file=e.jsonl", "sets"),
        ("data.reader=pyav", "reader"),
        ("data.frames={count: 3}", "frames"),
        ("rewards.accuracy.grader=accuracy", "code"),
    ],
)
def test_a_file_of_other_settings_is_refused(made, tmp_path, override, name):
    config, path = made
    plain = config.model_dump(mode="json")
    apply(plain, override)
    with pytest.raises(BaseRewardsError, match=f"made with another {name}: expected"):
        read_table(path, facts(parse(Config, plain, "made")))


@pytest.mark.parametrize(
    "override", ["steps=9", "seed=7", "data.sets.0.limit=2", "data.sets.0.weight=2", "data.workers=1"]
)
def test_what_does_not_decide_a_reward_may_differ(made, override):
    config, path = made
    plain = config.model_dump(mode="json")
    apply(plain, override)
    assert len(read_table(path, facts(parse(Config, plain, "made")))) == 8


def test_a_file_of_another_graders_code_is_refused(made, tmp_path):
    config, _ = made
    code = Path(config.rewards["accuracy"].grader.split(":")[0]).read_text()
    grader = tmp_path / "graders.py"
    grader.write_text(code)
    plain = config.model_dump(mode="json")
    plain["rewards"]["accuracy"]["grader"] = f"{grader}:vowels"
    mine = parse(Config, plain, "made")
    before = facts(mine)["code"]
    grader.write_text(code + "# changed\n")
    assert facts(mine)["code"].keys() == before.keys()
    assert facts(mine)["code"] != before
