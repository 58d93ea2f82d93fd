"""Where memory does not suffice the same step is taken in smaller parts, and nothing else changes."""

from unittest.mock import patch

import pytest
import torch

from mmrl.algorithms import CARE, GRPO
from mmrl.models.vision.tower import Tower
from mmrl.rollout import Engine
from mmrl.runtime.out_of_memory import run_with_smaller_batches
from mmrl.training.build import build
from tests import run_fixtures, tiny_models
from tests.training.step.test_trainer import flat, weights


def starving(read, rows, times=10**6):
    """A reader that has no memory for more than so many rows, or fails so many times in all."""
    left = [times]

    def reading(encoded, row_slices, *where):
        if left[0] and sum(len(row_slice.group) for row_slice in row_slices) > rows:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return read(encoded, row_slices, *where)

    return reading


def step(algorithm, rows, of="policy", max_tokens_per_micro_batch=10**6, times=10**6):
    """A step's gradient, numbers and weights, where policy or reference can read only so many rows at a time."""
    policy = tiny_models.policy(dtype=torch.float64)
    trainer = run_fixtures.trainer_of(
        algorithm, policy, run_fixtures.fixed_groups(policy), max_tokens_per_micro_batch=max_tokens_per_micro_batch
    )
    reader = getattr(trainer, of)
    with patch.object(reader, "logprobs", starving(reader.logprobs, rows, times)):
        numbers = trainer.step()
    return trainer, flat(trainer.optimizer.given), numbers, weights(policy)


REPEATED = pytest.mark.slow("both readers and both algorithms starve once by default")


@pytest.mark.parametrize(
    ("algorithm", "of"),
    [
        pytest.param(GRPO(beta=0.1), "policy", id="grpo-policy"),
        pytest.param(GRPO(beta=0.1), "reference", id="grpo-reference", marks=REPEATED),
        pytest.param(CARE(), "policy", id="care-policy", marks=REPEATED),
        pytest.param(CARE(), "reference", id="care-reference"),
    ],
)
def test_a_step_that_did_not_fit_is_the_step_that_does(algorithm, of, caplog):
    _, gradient, numbers, after = step(algorithm, 10**6)
    rows = {"policy": 2, "reference": 4}[of]  # the reference reads whole groups
    trainer, again, others, found = step(algorithm, rows, of)
    torch.testing.assert_close(again, gradient, atol=1e-10, rtol=0)
    torch.testing.assert_close(found, after, atol=1e-10, rtol=0)
    assert others.pop("work/oom_retries") >= 1
    assert "work/oom_retries" not in numbers
    same = [name for name in numbers if not name.startswith("timing_s/")]
    assert {n: others[n] for n in same} == pytest.approx({n: numbers[n] for n in same}, rel=1e-6, abs=1e-9)
    assert "out of memory at max_tokens_per_micro_batch=" in caplog.text
    assert trainer.forward.planner.max_tokens_per_micro_batch < 10**6  # and so it stays
    with patch.object(getattr(trainer, of), "logprobs", starving(getattr(trainer, of).logprobs, rows)):
        assert "work/oom_retries" not in trainer.step()


def test_what_a_failed_attempt_left_does_not_count():
    """It fails in the second bundle, when the gradient of the first is there."""
    _, gradient, numbers, _ = step(GRPO(beta=0.1), 10**6, max_tokens_per_micro_batch=600)
    _, again, others, _ = step(GRPO(beta=0.1), 2, max_tokens_per_micro_batch=600, times=1)
    torch.testing.assert_close(again, gradient, atol=1e-10, rtol=0)
    assert others["work/trained_tokens"] == numbers["work/trained_tokens"]
    assert others["loss"] == pytest.approx(numbers["loss"], abs=1e-9)


def test_the_two_ways_to_read_are_compared_before_each_kind_of_medium_also_where_the_attempt_fails():
    """The cheapest bundle goes first: without the second comparison nobody would have looked at a video."""
    policy, asked = tiny_models.policy(dtype=torch.float64), []

    def compare(_, part):
        asked.append({medium.kind for row_slice in part for medium in row_slice.group.prompt.example.every_media})
        return {"distance": 0.5}

    options = dict(max_tokens_per_micro_batch=150, compare=compare)
    trainer = run_fixtures.trainer_of(
        GRPO(beta=0, reference=None), policy, run_fixtures.fixed_groups(policy), **options
    )
    with patch.object(policy, "logprobs", starving(policy.logprobs, 2, 1)):
        numbers = trainer.step()
    assert (numbers["work/compare_distance"], numbers["work/oom_retries"]) == (0.5, 1)
    assert asked == [set(), {"image"}, {"video"}]
    assert "work/compare_distance" not in trainer.step()


def test_a_row_that_does_not_fit_is_an_error_that_says_what_to_do():
    with pytest.raises(torch.OutOfMemoryError) as error:
        step(GRPO(beta=0.1), 0)
    assert "cannot be halved any further; show fewer or smaller frames" in error.value.__notes__[0]


def test_a_video_that_a_frozen_tower_has_no_memory_for_is_an_error_that_says_what_to_do(root, tmp_path):
    rates = {"learning_rates": {"language_model": 1e-4, "projector": 0.0, "vision_tower": 0.0}}
    run = build(run_fixtures.config(root, tmp_path / "run", "grpo", steps=1, optimizer=rates), quiet=True)
    with (
        patch.object(Tower, "encode", side_effect=torch.OutOfMemoryError),
        pytest.raises(torch.OutOfMemoryError) as error,
    ):
        run.fit(quiet=True)
    assert "no batch can be made smaller; show fewer or smaller frames" in error.value.__notes__[0]


def test_ranks_that_keep_step_do_not_begin_anew():
    policy = tiny_models.policy()
    trainer = run_fixtures.trainer_of(
        GRPO(beta=0, reference=None), policy, run_fixtures.fixed_groups(policy), dummy=policy.dummy_group
    )
    with patch.object(policy, "logprobs", starving(policy.logprobs, 2)), pytest.raises(torch.OutOfMemoryError):
        trainer.step()


def test_a_rollout_that_did_not_fit_is_sampled_with_fewer_rows_and_says_the_same(root, tmp_path, caplog):
    whole = Engine.batch

    def batch(engine, prompts, samples, *rest):
        if sum(map(len, samples)) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(engine, prompts, samples, *rest)

    texts, halved = [], []
    for patched in (whole, batch):
        run = build(
            run_fixtures.config(root, tmp_path / patched.__name__ / str(len(texts)), "grpo", steps=1), quiet=True
        )
        with patch.object(Engine, "batch", patched):
            run.fit(quiet=True)
        texts.append([s.group.texts for s in run.trainer.last])
        halved.append(run_fixtures.lines(run.folder / "metrics.jsonl")[0].get("work/rollout_oom_retries"))
    assert texts[0] == texts[1]
    assert halved == [None, 1]
    said = [record.message for record in caplog.records if "out of memory" in record.message]
    assert said == ["out of memory at rollout.max_num_seqs=8: the same again with 4"]  # of 256, as there are 8 rows


def test_the_limit_that_did_is_told():
    def attempt(limit):
        if limit > 30:
            raise torch.OutOfMemoryError
        return -limit

    assert run_with_smaller_batches(attempt, 100, 1, "x") == (-25, 25, 2)
    assert run_with_smaller_batches(attempt, 30, 1, "x") == (-30, 30, 0)
