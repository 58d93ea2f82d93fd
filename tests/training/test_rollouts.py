"""Completions are sampled in evaluation mode, whatever happens, and a limit that was once too high stays lowered."""

from unittest.mock import patch

import pytest
import torch

from mmrl.config.schema import RolloutSection
from mmrl.rollout import Engine
from mmrl.training.rollouts import rollouts_of
from mmrl.types import Decoding
from tests import tiny_models

SECTION = RolloutSection(group_size=2, decoding=Decoding(max_new_tokens=3))


def prompts(policy):
    return policy.prompts([tiny_models.example("one", ()), tiny_models.example("two", ())], [[], []])


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_also_where_sampling_fails(training):
    policy, modes = tiny_models.policy(), []
    policy.model.train(training)
    sample = rollouts_of(policy, "policy", SECTION, seed=0)
    assert len(sample(prompts(policy), 1)) == 2
    assert policy.model.training == training

    def fail(engine, *_):
        modes.append(engine.policy.model.training)
        raise ValueError("a fault")

    with patch.object(Engine, "sample", fail), pytest.raises(ValueError, match="a fault"):
        sample(prompts(policy), 1)
    assert modes == [False]
    assert policy.model.training == training


def test_fewer_rows_stay_fewer_rows():
    policy, rows, whole = tiny_models.policy(), [], Engine.sample

    def sample_few(engine, *rest):
        rows.append(engine.max_num_seqs)
        if engine.max_num_seqs > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(engine, *rest)

    sample = rollouts_of(policy, "policy", SECTION, seed=0)
    with patch.object(Engine, "sample", sample_few):
        sample(prompts(policy), 1)
        sample(prompts(policy), 2)
    assert rows == [4, 2, 2]
    assert policy.work.halvings == 1
