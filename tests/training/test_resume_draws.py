"""A run that draws several batches for a step goes on where its draws ended, not where its steps did."""

from mmrl.training.build import build
from tests import run_fixtures


def setting(root, out):
    """DAPO on questions that a model gets all right, all wrong, or some of each."""
    algorithm = {"name": "dapo", "max_gen_batches": 3}
    return run_fixtures.config(root, out, "grpo", model=root / "answers", algorithm=algorithm, rewards=REWARDS, steps=4)


REWARDS = {"accuracy": {"grader": "accuracy"}}


def test_draws_are_resumed(root, tmp_path):
    whole = build(setting(root, tmp_path / "whole"), quiet=True)
    whole.fit(quiet=True)
    assert whole.trainer.collector.done > 4  # else nothing is shown
    config = setting(root, tmp_path / "parts")
    first = run_fixtures.begun(config, steps=2)
    second = build(config, resume=True, quiet=True)
    assert second.trainer.collector.done == first.trainer.collector.done > 2
    second.fit(quiet=True)
    assert second.trainer.collector.done == whole.trainer.collector.done
    assert run_fixtures.numbers(tmp_path / "parts") == run_fixtures.numbers(tmp_path / "whole")
