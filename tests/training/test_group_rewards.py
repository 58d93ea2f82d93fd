"""Runs whose rewards judge whole groups and are awaited."""

import pytest

from mmrl.config.schema import ConfigError
from mmrl.evaluation.scorers import code_of, scorer_of
from mmrl.training.base_rewards import facts, score_base_model
from mmrl.training.build import build
from mmrl.types import Example
from tests import run_fixtures

MINE = """
import asyncio

sizes, now, most = [], 0, 0


async def vowels(completions, *, extra, **fields):
    global now, most
    now += 1
    most = max(most, now)
    for _ in range(5):
        await asyncio.sleep(0)
    now -= 1
    sizes.append(len(completions))
    return [sum(text.count(letter) for letter in "aeiou") / (1 + len(text)) for text in completions]


def plain(completion, **fields):
    return sum(completion.count(letter) for letter in "aeiou") / (1 + len(completion))
"""


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def rewards(grader, **more):
    return {"accuracy": {"grader": grader} | more}


def test_a_run_learns_from_a_group_s_awaited_reward_as_from_a_plain_one(root, tmp_path, mine):
    numbers, loaded = [], None
    for name, more in (("vowels", {"concurrency": 2}), ("plain", {})):
        chosen = rewards(f"{mine}:{name}", **more)
        config = run_fixtures.config(root, tmp_path / name, "grpo", model=root / "answers", steps=2, rewards=chosen)
        run = build(config, quiet=True)
        loaded = loaded or run.trainer.collector.grade.keywords["graders"]["accuracy"].grader.__globals__
        run.fit(quiet=True)
        numbers.append(run_fixtures.numbers(tmp_path / name))
    assert numbers[0] == numbers[1]
    assert loaded["sizes"] == [4, 4, 4, 4]  # two steps of two groups of four
    assert loaded["most"] == 2  # both groups of a step at once


def test_a_bound_for_a_grader_that_is_not_async_is_refused_before_the_model_is_read(root, tmp_path, mine):
    config = run_fixtures.config(
        root, tmp_path / "run", "grpo", model=tmp_path / "none", rewards=rewards(f"{mine}:plain", concurrency=2)
    )
    with pytest.raises(
        ConfigError, match=r"rewards.accuracy: grader '.*mine.py:plain': concurrency: expected an async"
    ):
        build(config, quiet=True)


def test_the_bound_may_change_when_a_run_is_resumed_or_reads_what_the_base_model_earned(root, tmp_path, mine):
    def config(**more):
        options = dict(steps=2, save_every=1, base_rewards=str(tmp_path / "base.jsonl"))
        return run_fixtures.config(
            root, tmp_path / "run", "grpo", model=root / "answers", rewards=rewards(f"{mine}:vowels", **more), **options
        )

    assert facts(config()) == facts(config(concurrency=3))
    score_base_model(config(), 2, quiet=True)
    run_fixtures.begun(config(concurrency=3), 1)
    run = build(config(concurrency=1), resume=True, quiet=True)
    run.fit(quiet=True)
    assert len(run_fixtures.lines(tmp_path / "run" / "metrics.jsonl")) == 2


def test_an_evaluation_grades_by_the_same_function_and_records_its_code(mine):
    scorer = scorer_of({"vowels": f"{mine}:vowels"})
    assert scorer.grade("aabb", Example("e", "q", fields={"extra": 1})) == {"vowels": 2 / 5}
    before = scorer.facts["code"]["vowels"]
    assert before == code_of(f"{mine}:vowels")
    other = mine.with_name("other.py")
    other.write_text(MINE + "# another version\n")
    assert code_of(f"{other}:vowels") != before
