"""The examples of docs/extending.md, as they stand there: each is written to its file, read through its YAML, and used."""

import json
import math
import re
import runpy
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

import mmrl
from mmrl.config import yaml_text
from mmrl.config.load import parse
from mmrl.config.open_data import training_data
from mmrl.config.schema import Config, ConfigError, DataSection, EvalConfig
from mmrl.data.conditions import known_condition, see
from mmrl.functional.divergences import value
from mmrl.functional.targets import log_weight
from mmrl.models import families
from mmrl.training.build import build
from tests import run_fixtures, tiny_models
from tests.config.test_config import EVALUATION, PLAIN
from tests.own_code import forget

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCK = re.compile(r"^```(python|yaml)\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = {name: text for _, name, text in BLOCK.findall(PAGE.read_text())}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The page's files in the current directory."""
    for name, text in BLOCKS.items():
        if name.endswith(".py"):
            (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    forget()


def stated(name):
    """A YAML of the page, as plain data."""
    return yaml_text.read(BLOCKS[name], name)


def algorithm(name, **changes):
    """The algorithm of a YAML of the page, in a config that is complete."""
    return parse(Config, deepcopy(PLAIN) | stated(name) | changes, name).algorithm


def test_every_block_of_the_page_is_tried():
    text = PAGE.read_text()
    rewards = re.search(r"^## A reward\n.*?(?=^## )", text, re.DOTALL | re.MULTILINE)[0]  # tests/rewards/test_reward_docs.py
    assert len(BLOCKS) == text.replace(rewards, "").count("```") // 2
    assert {name for name in BLOCKS if not name.endswith(".py")} == {
        "algorithm",
        "divergence",
        "factor",
        "format",
        "condition",
        "benchmark",
    }


def test_a_benchmark_is_asked_and_scored(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("easy", "hard"):
        rows = [{"key": k, "film": "a.mp4", "claim": f"{name} {k}", "holds": "yes" if k else "no"} for k in range(2)]
        (tmp_path / "data" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_fixtures.write_video(tmp_path / "data" / "a.mp4", 0)
    config = parse(EvalConfig, stated("benchmark"), "benchmark")
    section = config.evaluation.model_copy(update={"workers": 0})
    found = mmrl.evaluate(tiny_models.policy(), section, out=tmp_path / "out")
    assert {name: len(records) for name, records in found.records.items()} == {"easy": 2, "hard": 2}
    assert set(found.summary["hard"].metrics) >= {"accuracy", "committed"}
    (tmp_path / "data" / "hard.jsonl").write_text(json.dumps(rows[0]) + "\n")
    with pytest.raises(ValueError, match="'hard': expected 2 examples, found 1"):
        mmrl.evaluate(tiny_models.policy(), section, out=tmp_path / "again")


def test_the_method_trains(root, tmp_path):
    config = run_fixtures.config(root, tmp_path / "run", "grpo", steps=2, **stated("algorithm"))
    build(config, quiet=True).fit(quiet=True)
    assert [line["step"] for line in run_fixtures.numbers(tmp_path / "run")] == [1, 2]
    assert config.algorithm.scale == 0.5
    with pytest.raises(ConfigError, match=r"algorithm.scale: expected a number above 0, found 0.0"):
        parse(Config, PLAIN | {"algorithm": stated("algorithm")["algorithm"] | {"scale": 0}}, "made")


def test_the_divergence_is_one():
    triangular = algorithm("divergence").divergence
    t = torch.tensor([0.1, 0.5, 1.0, 3.0, 1e6], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(triangular.f(t).sum(), t)
    torch.testing.assert_close(triangular.slope(t), slope)
    torch.testing.assert_close(triangular.pseudo_reward(t.log()), -slope)
    assert float(triangular.pseudo_reward(torch.tensor(math.inf))) == -triangular.slope_at_infinity
    policy, target = torch.tensor([0.5, 0.5, 0.0]).double(), torch.tensor([0.25, 0.5, 0.25]).double()
    torch.testing.assert_close(value(triangular, policy, target), ((policy - target) ** 2 / (policy + target)).sum())


def test_the_factor_multiplies():
    tilt, bonus = algorithm("factor").target
    rewards = {"accuracy": torch.tensor([0.0, 1.0]).double(), "total": torch.tensor([0.0, 1.0]).double()}
    assert log_weight([bonus], rewards).exp().tolist() == pytest.approx([1, 3])
    torch.testing.assert_close(log_weight([tilt, bonus], rewards)[1], torch.tensor(2 + math.log(3)).double())
    assert bonus.bounds == (0, math.log(3))


def test_the_format_is_read(tmp_path):
    rows = [
        {"key": 7, "film": "a.mp4", "claim": "It falls.", "holds": "no"},
        {"key": 8, "film": "b.mp4", "claim": "?", "holds": "yes"},
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "claims.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (data,) = training_data(parse(DataSection, stated("format")["data"], "format"), 0).datasets
    first = data.example(0, 0)
    assert (first.id, first.question, first.choices[1], first.answer) == ("7", "It falls.", "false", "B")
    assert [medium.path.name for medium in first.media] == ["a.mp4"]
    rows[0]["holds"] = "maybe"
    (tmp_path / "data" / "claims.jsonl").write_text(json.dumps(rows[0]) + "\n")
    with pytest.raises(ValueError, match=r"claims.jsonl:1: holds: expected one of yes, no, found maybe"):
        training_data(parse(DataSection, stated("format")["data"], "format"), 0)


def test_the_condition_shows_less():
    spec = stated("condition")["condition"]
    section = EVALUATION | {"graders": {"a": "accuracy"}, "every": 1, "condition": spec}
    assert parse(Config, PLAIN | {"validation": section}, "made").validation.condition == known_condition(spec)
    before = tiny_models.clip(0)
    after, picture = see(spec, tiny_models.example(), (before, tiny_models.image()), 0)
    half = before.frames.shape[1] // 2
    assert not after.frames[:, :half].any()
    assert np.array_equal(after.frames[:, half:], before.frames[:, half:])
    assert np.array_equal(picture, tiny_models.image())


def test_the_family_is_registered(monkeypatch):
    monkeypatch.setattr(families, "FAMILIES", dict(families.FAMILIES))
    runpy.run_path("train_mine.py")
    assert families.family_of("my_vl").tokens_per_second
