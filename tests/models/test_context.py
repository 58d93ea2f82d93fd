"""A prompt that does not fit is one error, before anything is sampled."""

from unittest.mock import patch

import pytest

from mmrl.models.context import PromptError, refuse, too_long
from mmrl.rollout import Engine
from mmrl.training.build import build
from mmrl.training.rollouts import demonstrate
from mmrl.types import Decoding
from tests import run_fixtures, tiny_models


def prompts(policy):
    """Some hundred tokens; and a few about a clip that is long in time, so that positions run ahead."""
    slow = tiny_models.clip(1, frames=8, fps=0.01)
    examples = [tiny_models.example("text", ()), tiny_models.example("slow", ("video",), demonstration="it is red")]
    return policy.prompts(examples, [[], [slow]])


def test_a_prompt_must_leave_room_for_its_completion():
    policy = tiny_models.policy()
    text, slow = prompts(policy)
    length = len(text.tokens)
    assert not list(too_long([text], length + 7, 7))
    assert len(list(too_long([text], length + 7, 8))) == 1
    assert not list(too_long([text], 10**6, 8, most=length))
    assert "at most data.max_prompt_tokens=3 tokens, found" in next(too_long([text], 10**6, 8, most=3))
    assert slow.next_position > len(slow.tokens)
    assert "up to position" in next(too_long([slow], len(slow.tokens) + 1, 1))


def test_all_that_are_too_long_are_counted():
    policy = tiny_models.policy()
    refuse([])
    with pytest.raises(
        PromptError, match=r"example text: .* model's context of 9, found .*exclude the example \(and 1 more\)"
    ):
        refuse(list(too_long(prompts(policy), 9, 0)))


def test_neither_samples_nor_demonstrations_run_out_of_the_context():
    policy = tiny_models.policy()
    made = prompts(policy)
    policy.model.config.get_text_config().max_position_embeddings = made[1].next_position + 4
    engine = Engine(policy, Decoding(max_new_tokens=5), lambda text: None)
    with (
        patch.object(policy, "encode") as see,
        pytest.raises(PromptError, match=r"example slow: .*room for 5 new tokens"),
    ):
        engine.sample(made, [range(2)] * 2, 0)
    assert not see.called
    with pytest.raises(PromptError, match="example slow"):
        demonstrate(policy, made[1])


def test_a_run_stops_with_a_checkpoint_before_it_samples(root, tmp_path):
    plain = run_fixtures.settings(root, tmp_path / "run", "grpo")
    plain["data"] |= {"max_prompt_tokens": 5}
    run = build(run_fixtures.config(root, tmp_path / "run", "grpo", data=plain["data"]), quiet=True)
    with pytest.raises(PromptError, match=r"expected at most data.max_prompt_tokens=5 tokens, found .* \(and 1 more\)"):
        run.fit(quiet=True)
    assert (tmp_path / "run" / "checkpoints" / "step-000000").exists()
