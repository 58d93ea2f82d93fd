"""A method of a user's own in a whole run: equal to mmrl's where its equations are, resumed, and refused once its code changed."""

import pytest
import torch

from mmrl.config.load import load
from mmrl.config.schema import Config, ConfigError
from mmrl.models.loading import load_policy
from mmrl.training import checkpoint
from mmrl.training.base_rewards import facts
from mmrl.training.build import build
from tests import run_fixtures
from tests.own_code import forget, own
from tests.training.test_validation import validated

GRPO = '''
from dataclasses import dataclass
from mmrl.algorithms import Algorithm, Needs
from mmrl.types import Frozen

@dataclass(frozen=True, kw_only=True)
class Mine(Algorithm):
    """GRPO, by its equations."""

    beta: float = 0.04
    needs = Needs(reference=Frozen())

    def advantages(self, scored, state=None):
        reward = scored.total
        return (reward - reward.mean()) / (reward.std() + 1e-4)

    def kl_weights(self, scored):
        return self.beta * scored.group.completion_mask.to(scored.total.dtype)

    def loss(self, policy, weights, rows):
        x = (rows.ref_logprobs - policy.logprobs).clamp(-10, 10)
        return weights.kl_weight * (x.expm1() - x) - (policy.logprobs - policy.logprobs.detach()).exp() * weights.advantage
'''
DIVERGENCE = """
from dataclasses import dataclass
from torch import log, tensor
from torch.nn.functional import softplus
from mmrl.functional.divergences import Divergence
from mmrl.functional.targets import Factor

@dataclass(frozen=True)
class JS(Divergence):
    slope_at_infinity = float(log(tensor(2.0, dtype=float))) / 2
    curvature = 0.25

    def f(self, t):
        raise NotImplementedError  # learning uses the pseudo-reward alone

    slope = f

    def pseudo_reward(self, log_ratio):
        return (softplus(-log_ratio) - 2 * self.slope_at_infinity) / 2

@dataclass(frozen=True)
class Posterior(Factor):
    beta: float = 0.5
    rewards = ("total",)

    def log_weight(self, rewards):
        return rewards["total"] / self.beta
"""


def method(root, out, algorithm, **changes):
    """A run of two steps with rewards that tell completions apart."""
    return run_fixtures.config(root, out, "grpo", **{"steps": 2, "algorithm": algorithm, "save_every": 1, **changes})


def trained(config, resume=False):
    build(config, resume, quiet=True).fit(quiet=True)


def equal_weights(one, other):
    one, other = (
        load_policy(path / "checkpoints" / "step-000002", "plain").model.state_dict() for path in (one, other)
    )
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_method_has_few_lines():
    lines = [line for line in GRPO.splitlines() if line.strip() and '"""' not in line]
    assert len(lines) <= 20


def test_grpos_equations_in_a_file_are_grpo_bit_by_bit(root, tmp_path):
    spec = own(tmp_path, "mine.py", GRPO) + ":Mine"
    for name in ("grpo", spec):
        trained(method(root, tmp_path / name[-4:], {"name": name}))
    made, theirs = (run_fixtures.numbers(tmp_path / name) for name in ("Mine", "grpo"))
    assert len(made) == 2
    assert any(line["reward_std"] > 0 for line in made)
    assert made == theirs
    assert equal_weights(tmp_path / "Mine", tmp_path / "grpo")
    spec = own(tmp_path, "other.py", GRPO.replace("1e-4", "1e-1")) + ":Mine"
    trained(method(root, tmp_path / "other", {"name": spec}))
    assert run_fixtures.numbers(tmp_path / "other") != theirs


def test_a_divergence_and_a_factor_in_a_file_are_mmrls_bit_by_bit(root, tmp_path):
    path = own(tmp_path, "mine.py", DIVERGENCE)
    mine = {
        "name": "fdpg",
        "divergence": {"name": f"{path}:JS"},
        "target": [{"name": f"{path}:Posterior", "beta": 0.25}],
    }
    theirs = {"name": "fdpg", "divergence": {"name": "js"}, "target": [{"name": "tilt", "beta": 0.25}]}
    for name, algorithm in (("mine", mine), ("theirs", theirs)):
        trained(method(root, tmp_path / name, algorithm))
    assert run_fixtures.numbers(tmp_path / "mine") == run_fixtures.numbers(tmp_path / "theirs")
    assert equal_weights(tmp_path / "mine", tmp_path / "theirs")


def test_a_run_is_resumed_as_if_it_had_not_ended(root, tmp_path):
    algorithm = {"name": own(tmp_path, "mine.py", GRPO) + ":Mine", "beta": 0.1}
    trained(method(root, tmp_path / "whole", algorithm))
    run_fixtures.begun(method(root, tmp_path / "cut", algorithm), 1)
    written = load(Config, tmp_path / "cut" / "config.yaml")
    assert written.algorithm.name == algorithm["name"]
    assert checkpoint.read_state(tmp_path / "cut" / "checkpoints" / "step-000001")["config"]["algorithm"] == algorithm
    forget()
    trained(load(Config, tmp_path / "cut" / "config.yaml", ["out=" + str(tmp_path / "cut")]), resume=True)
    assert run_fixtures.numbers(tmp_path / "cut") == run_fixtures.numbers(tmp_path / "whole")
    assert equal_weights(tmp_path / "cut", tmp_path / "whole")


def test_a_run_is_not_resumed_with_another_method(root, tmp_path):
    spec = own(tmp_path, "mine.py", GRPO) + ":Mine"
    run_fixtures.begun(method(root, tmp_path / "run", {"name": spec}), 1)
    own(tmp_path, "mine.py", GRPO.replace("    beta: float", "    more: int = 1\n    beta: float"))
    said = rf"step-000001: cannot resume, because the code of algorithm.name changed; the first: {spec}: expected a file with"
    with pytest.raises(ConfigError, match=rf"{said} .* or start a new run with another out"):
        build(method(root, tmp_path / "run", {"name": spec}), resume=True, quiet=True)
    own(tmp_path, "mine.py", GRPO)
    with pytest.raises(
        ConfigError, match=r"cannot resume, because algorithm.name changed; .* start a new run with another out"
    ):
        build(method(root, tmp_path / "run", {"name": own(tmp_path, "b.py", GRPO) + ":Mine"}), resume=True, quiet=True)
    build(method(root, tmp_path / "run", {"name": spec}), resume=True, quiet=True)


def test_what_a_run_records_is_the_code_that_it_ran(root, tmp_path):
    """Who edits the file while a run goes on does not make the checkpoint that of the new file."""
    spec = own(tmp_path, "mine.py", GRPO) + ":Mine"
    run = build(method(root, tmp_path / "run", {"name": spec}), quiet=True)
    before = run.state()["code"]["algorithm.name"]
    (tmp_path / "mine.py").write_text(GRPO.replace("1e-4", "1e-3"))
    run.fit(quiet=True)
    assert checkpoint.read_state(tmp_path / "run" / "checkpoints" / "step-000002")["code"]["algorithm.name"] == before


def test_a_run_is_not_resumed_with_another_grader(root, tmp_path):
    code = "def size(completion, **fields):\n    return len(completion) % 3\n"
    rewards = {"accuracy": {"grader": own(tmp_path, "grade.py", code) + ":size"}}
    run_fixtures.begun(method(root, tmp_path / "run", {"name": "grpo"}, rewards=rewards), 1)
    own(tmp_path, "grade.py", code.replace("3", "4"))
    with pytest.raises(
        ConfigError, match=r"because the code of rewards.accuracy.grader changed; the first: .*grade.py:size"
    ):
        build(method(root, tmp_path / "run", {"name": "grpo"}, rewards=rewards), resume=True, quiet=True)


def test_code_that_only_the_validation_uses_may_change(root, tmp_path):
    path = own(tmp_path, "shown.py", "def dark(example, media, seed):\n    return media\n")

    def config():
        plain = validated(root, tmp_path / "run", steps=2)
        validation = plain.validation.model_copy(update={"condition": f"{path}:dark"})
        return plain.model_copy(update={"validation": validation})

    run = run_fixtures.begun(config(), 1)
    assert "validation.condition" in run.state()["code"]
    own(tmp_path, "shown.py", "def dark(example, media, seed):\n    return list(media)\n")
    build(config(), resume=True, quiet=True)


def test_rewards_of_the_base_model_are_of_a_formats_code(root, tmp_path):
    code = "from dataclasses import dataclass\nfrom mmrl.data.formats.messages import Messages\n@dataclass(frozen=True)\nclass M(Messages): pass\n"
    data = run_fixtures.settings(root, tmp_path)["data"]
    data["sets"][0]["format"] = own(tmp_path, "mine.py", code) + ":M"
    config = run_fixtures.config(root, tmp_path / "run", data=data)
    before = facts(config)["code"]["sets.0.format"]
    own(tmp_path, "mine.py", code + "\n")
    assert facts(config)["code"]["sets.0.format"] != before
    assert "code" in facts(config)
    assert facts(run_fixtures.config(root, tmp_path / "run"))["code"] == {}
