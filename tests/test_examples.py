"""The scripts of examples/ run, on small data."""

import runpy
import sys
from pathlib import Path

import pytest

from mmrl.config.load import dump
from tests import run_fixtures

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def example(monkeypatch, capsys):
    """Runs an example as a script; what it printed."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_a_reward_and_an_algorithm_of_ones_own(example, root, tmp_path):
    config = tmp_path / "train.yaml"
    config.write_text(dump(run_fixtures.config(root, tmp_path / "unused", "grpo", steps=2)))
    said = example("train_with_own_reward_and_algorithm.py", config, f"out={tmp_path / 'run'}", "save_every=1")
    assert said.count(": reward 0.") == 2
    assert said.count("checkpoint: ") == 2
    lines = run_fixtures.lines(tmp_path / "run" / "metrics.jsonl")
    assert len(lines) == 2
    assert all("rewards/brevity/mean" in line for line in lines)
    recorded = (tmp_path / "run" / "config.yaml").read_text()
    assert "train_with_own_reward_and_algorithm.py:Softmax" in recorded
    assert "temperature: 0.3" in recorded
    assert not (tmp_path / "unused").exists()


def test_data_that_are_not_there_come_with_the_command_that_makes_them(example, monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="found nothing; `mmrl quickstart` makes that of"):
        example(
            "train_with_own_reward_and_algorithm.py",
            EXAMPLES.parent / "configs" / "toy_grpo.yaml",
            f"data.root={tmp_path}/no",
        )


def test_the_bonus_in_a_loop_that_is_not_ours(example):
    said = example("care_bonus_in_your_loop.py", 3)
    assert said.count("accuracy") == 3
    assert any("bonus 0.00" not in line for line in said.splitlines())
