"""Configs from Python: files and plain data, overrides as text and as values, algorithms as objects."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mmrl
from mmrl.algorithms import GRPO
from mmrl.config.load import dump, load
from mmrl.config.schema import Config, EvalConfig
from mmrl.types import Decoding
from tests import run_fixtures, type_checks

TOY = Path(__file__).parents[2] / "configs" / "toy_grpo.yaml"
EVAL = TOY.parent / "eval" / "toy.yaml"


@dataclass(frozen=True, kw_only=True)
class Own(mmrl.Algorithm):
    scale: float = 1.0
    decoding: Decoding = Decoding()
    extra: Any = None

    def loss(self, policy, weights, rows):
        return -self.scale * weights.advantage * policy.logprobs


def test_a_file_and_its_data_are_one_config():
    config = mmrl.load_config(str(TOY))
    assert config == load(Config, TOY) == mmrl.load_config(config.model_dump()) == mmrl.load_config(config)
    assert mmrl.load_eval_config(EVAL) == load(EvalConfig, EVAL)


def test_overrides_are_texts_or_values(tmp_path):
    by_text = mmrl.load_config(TOY, ["steps=7", "data.sets.0.limit=3", f"out={tmp_path}"])
    by_value = mmrl.load_config(TOY, {"steps": 7, "data.sets.0.limit": 3, "out": tmp_path})
    assert by_text == by_value
    assert (by_value.steps, by_value.data.sets[0].limit, by_value.out) == (7, 3, str(tmp_path))


def test_plain_data_may_hold_what_python_has(tmp_path):
    plain = run_fixtures.settings(tmp_path, tmp_path / "out")
    given = plain | {"out": tmp_path / "out", "trackers": (), "data": plain["data"] | {"root": tmp_path}}
    assert mmrl.load_config(given, {"steps": 3}) == run_fixtures.config(tmp_path, tmp_path / "out", steps=3)
    assert given["steps"] == 8  # what was given stays as it was


@pytest.mark.parametrize(
    ("source", "overrides", "said"),
    [
        (TOY, "steps=7", "overrides: expected a list of texts or a mapping"),
        (TOY, {"stepps": 7}, "no key 'stepps'; did you mean 'steps'"),
        (TOY, {"steps.more": 7}, "override 'steps.more=7': expected further keys in 'steps'"),
        ({"out": "x"}, (), "config: model: expected a value, found none"),
        (TOY, {3: 7}, r"overrides: expected texts, .* found 3 among them"),
        (TOY, [("steps", 3)], r"overrides: expected texts, .* found \('steps', 3\) among them"),
        (TOY, {"steps": {1, 2}}, r"config.*: expected values that a YAML can state, found \{1, 2\} of type set"),
        ("nowhere.yaml", (), "expected a YAML file, found nothing at nowhere.yaml"),
    ],
)
def test_what_is_wrong_is_a_config_error(source, overrides, said):
    with type_checks.off(), pytest.raises(mmrl.ConfigError, match=said):
        mmrl.load_config(source, overrides)


def test_numbers_of_numpy_and_torch_are_numbers():
    assert mmrl.load_config(TOY, {"steps": np.int64(300)}) == mmrl.load_config(TOY, {"steps": torch.tensor(300)})


def test_an_algorithm_of_mmrl_may_be_an_object():
    config = mmrl.load_config(TOY, algorithm=GRPO(beta=0.0, reference=None))
    assert config == mmrl.load_config(TOY)
    assert type(config) is Config


def test_an_algorithm_of_ones_own_is_recorded_with_its_place_and_fields():
    own = Own(scale=2.0)
    for config in (
        mmrl.load_config(TOY, algorithm=own),
        mmrl.load_config(TOY).model_copy(update={"algorithm": own}),
    ):
        assert config.algorithm is own
        recorded = config.model_dump(mode="json")["algorithm"]
        assert recorded.pop("name").endswith("test_from_python.py:Own")
        decoding = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 768}
        assert recorded == {"scale": 2.0, "decoding": decoding, "extra": None}
        assert "test_from_python.py:Own" in dump(config)


def test_a_config_that_is_changed_keeps_its_object():
    own = mmrl.load_config(TOY, algorithm=Own(scale=2.0))
    assert mmrl.load_config(own, {"steps": 7}).algorithm is own.algorithm
    assert mmrl.load_config(own, ["steps=7"]).steps == 7
    assert mmrl.load_config(own, {"algorithm": {"name": "rloo"}}).algorithm.name == "rloo"


def test_an_algorithm_of_ones_own_is_checked_with_the_rest():
    with pytest.raises(mmrl.ConfigError, match=r"rollout\.group_size: expected 2 or more"):
        mmrl.load_config(TOY, {"rollout.group_size": 1}, algorithm=Own())
    with pytest.raises(
        mmrl.ConfigError, match=r"algorithm: expected an object of a class that inherits from mmrl\.Algorithm"
    ):
        mmrl.load_config(TOY, algorithm=Own)
    with pytest.raises(ValueError, match=r"algorithm\.extra: expected numbers.*found function"):
        mmrl.load_config(TOY, algorithm=Own(extra=lambda: 0))


def test_a_class_without_a_file_is_recorded_by_its_module():
    space: dict[str, Any] = {"__name__": "notebook"}
    exec(
        "import mmrl\nclass Cell(mmrl.Algorithm):\n    def loss(self, policy, weights, rows):\n        return -policy.logprobs",
        space,
    )
    config = mmrl.load_config(TOY, algorithm=space["Cell"]())
    assert config.model_dump(mode="json")["algorithm"] == {"name": "notebook:Cell"}


def test_a_run_with_an_algorithm_of_ones_own_is_resumed_by_an_equal_one(root, tmp_path):
    plain = run_fixtures.settings(root, tmp_path / "run", "grpo", steps=2)
    mmrl.train(mmrl.load_config(plain, {"steps": 1}, algorithm=Own(scale=2.0)), quiet=True)
    with pytest.raises(mmrl.ConfigError, match=r"cannot resume, because algorithm\.scale changed"):
        mmrl.train(mmrl.load_config(plain, algorithm=Own(scale=1.0)), resume=True, quiet=True)
    with pytest.raises(mmrl.ConfigError, match=r"algorithm\.name.*changed"):
        mmrl.train(mmrl.load_config(plain), resume=True, quiet=True)
    run = mmrl.train(mmrl.load_config(plain, algorithm=Own(scale=2.0)), resume=True, quiet=True)
    assert run.trainer.step_done == 2
    assert "test_from_python.py:Own" in (tmp_path / "run" / "config.yaml").read_text()
