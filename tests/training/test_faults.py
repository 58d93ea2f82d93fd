"""Faults that a reviewer found: each one clear message now."""

import pytest
import torch

from mmrl.config.open_data import check_gradable
from mmrl.config.schema import ConfigError
from mmrl.rewards.run_graders import grade_one
from mmrl.runtime.ranks import join
from mmrl.training import checkpoint
from mmrl.types import Example
from mmrl.world.annotate import Presentation, choices, octet_items
from mmrl.world.axes import Environment
from mmrl.world.octet import draw_octets
from mmrl.world.render import SMALL
from tests import tiny_models


def test_a_tracker_that_is_not_installed_is_refused():
    with pytest.raises(ValueError, match="pip install no_such_tracker"):
        join(["no_such_tracker"])


def test_golds_that_no_answer_can_match_are_named_together():
    examples = [Example("one", "q", "Z", choices=("a", "b")), Example("two", "q", None, choices=("a", "b"))]
    with pytest.raises(ConfigError, match=r"example one(.|\n)*example two"):
        check_gradable(examples, ["accuracy"], "L1")
    with pytest.raises(ConfigError, match="expected options"):
        check_gradable([Example("free", "q", "x", "free")], ["consistency"], "L1")


def test_rows_that_the_world_s_graders_cannot_judge_are_refused_before_anything_is_sampled():
    octet = next(iter(draw_octets("L1", 1, seed=0, taken=set())))
    rows = [item.row for item in octet_items(octet, [Presentation(Environment())] * 8, SMALL)]
    examples = [
        Example(row["sample_id"], row["question"], row["answer"], choices=choices(row), fields=row) for row in rows
    ]
    check_gradable(examples, ["world_events"], "L1")
    with pytest.raises(ConfigError, match="expected a cue that points to a letter"):
        check_gradable(examples, ["world_cue"], "L1")
    with pytest.raises(ConfigError, match="row plain: the exact judge expects rows of ProcBench"):
        check_gradable([Example("plain", "q", "A", choices=("a", "b"))], ["world_events"], "L1")


def test_a_grader_that_returns_text_is_named():
    with pytest.raises(ValueError, match=r"grader 'mine', example 'e': expected a finite number, found 'yes'"):
        grade_one("text", Example("e", "q"), {"mine": lambda completion, **fields: "yes"})


def test_a_truncated_tensor_file_is_a_checkpoint_error(tmp_path):
    checkpoint.write(tmp_path / "step-000001", lambda path: None, {"optimizer": {"a": torch.zeros(8)}}, {"step": 1})
    file = tmp_path / "step-000001" / "trainer" / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(checkpoint.CheckpointError, match="expected whole tensors"):
        checkpoint.read(tmp_path / "step-000001")


def test_what_is_sampled_is_what_is_graded():
    policy = tiny_models.policy()
    names = policy.tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|vision_end|>"])
    assert not policy.rules.allowed[names].any()
    tokens = [*policy.tokenizer("the answer is B", add_special_tokens=False).input_ids, policy.end]
    assert policy.decode(tokens) == "the answer is B"


def test_validation_of_steps_that_are_taken_again_is_dropped(tmp_path):
    for step in (5, 10, 15):
        (tmp_path / "validation" / checkpoint.name_of(step)).mkdir(parents=True)
    checkpoint.drop_later(tmp_path, 10)
    left = sorted(p.name for p in (tmp_path / "validation").iterdir())
    assert left == ["step-000005", "step-000010"]
