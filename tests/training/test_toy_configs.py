"""Every YAML of the toy world trains: its algorithm takes two steps on fixed completions, and, slow, the whole run does one."""

import math
import re
from pathlib import Path

import pytest
import torch

from mmrl.algorithms import ALGORITHMS
from mmrl.config.load import load
from mmrl.config.load import parse as parsed
from mmrl.config.schema import Config
from mmrl.config.yaml_text import read
from mmrl.models.proposal import Proposal
from mmrl.training.base_rewards import score_base_model
from mmrl.training.build import build
from mmrl.types import RowSlice
from tests import run_fixtures, tiny_models

ROOT = Path(__file__).parents[2]
TOYS = sorted((ROOT / "configs").glob("toy_*.yaml"))
NAMES = [path.stem.removeprefix("toy_") for path in TOYS]


def sampled_by(policy):
    """Fixed completions as if the policy had drawn them."""
    groups = run_fixtures.fixed_groups(policy)
    with torch.no_grad(), policy.encode([group.prompt for group in groups]) as encoded:
        read = policy.logprobs(encoded, [RowSlice(i, group) for i, group in enumerate(groups)])
    for group, tokens in zip(groups, read, strict=True):
        group.sampling_logprobs.copy_(tokens.logprobs)
    return groups


@pytest.mark.parametrize("path", TOYS, ids=NAMES)
def test_its_algorithm_learns(path):
    config = load(Config, path)
    algorithm, policy = config.algorithm, tiny_models.policy()
    groups = sampled_by(policy)
    earned = {"accuracy": torch.tensor([1.0, 0, 1]), "format": torch.ones(3), "total": torch.tensor([2.0, 1, 2])}
    base = {group.prompt.example.id: earned for group in groups}
    proposal = Proposal(policy) if algorithm.needs.proposal is not None else None
    trainer = run_fixtures.trainer_of(
        algorithm,
        policy,
        groups,
        mini_batches_per_step=config.mini_batches_per_step,
        base_rewards=base,
        proposal=proposal,
    )
    start = [p.detach().clone() for p in policy.model.parameters()]
    for _ in range(2):
        numbers = trainer.step()
        assert all(map(math.isfinite, numbers.values())), numbers
    assert any(not torch.equal(p, s) for p, s in zip(policy.model.parameters(), start, strict=True))
    assert trainer.update_done == 2 * config.mini_batches_per_step
    assert (trainer.state is None) == (algorithm.needs.state is None)


@pytest.mark.slow("the same algorithms in whole runs; test_its_algorithm_learns takes two steps with each")
@pytest.mark.parametrize("path", TOYS, ids=NAMES)
def test_it_runs_on_video(path, root, tmp_path):
    """The whole run of one step on real media, with the file's own algorithm, rewards and updates."""
    plain = read(path.read_text(), "")
    own = run_fixtures.settings(root, tmp_path / "run", "grpo", model=root / "answers", steps=1)
    decoding = {"temperature": 1.0, "max_new_tokens": 12}
    mine = {key: own[key] for key in ("out", "model", "data", "steps", "prompts_per_step", "trackers")}
    plain |= mine | {"rollout": {"group_size": 4, "decoding": decoding}}
    plain |= {"validation": None, "best_metric": None}  # of the quickstart's world
    plain["optimizer"]["warmup_steps"] = 0
    if "overlong_buffer" in plain["algorithm"]:
        plain["algorithm"]["overlong_buffer"] = 4
    if "base_rewards" in plain:
        plain["base_rewards"] = str(tmp_path / "prepared.jsonl")
        score_base_model(parsed(Config, plain, str(path)), 2, quiet=True)
    run = build(parsed(Config, plain, str(path)), quiet=True)
    run.fit(quiet=True)
    assert run.trainer.step_done == 1


def test_every_algorithm_has_a_config_and_a_section():
    """A complete YAML that names it, and a section of docs/algorithms.md with that YAML in it."""
    configs = {path: read(path.read_text(), "") for path in sorted((ROOT / "configs").glob("*.yaml"))}
    sections = (ROOT / "docs" / "algorithms.md").read_text().split("\n### ")[1:]
    for name in ALGORITHMS:
        mine = [path for path, config in configs.items() if config["algorithm"]["name"] == name]
        assert mine, f"{name}: expected a config"
        (section,) = [text for text in sections if f"`{name}`" in text.split("\n")[0]]
        assert any(f"configs/{path.name}" in section for path in mine), f"{name}: expected its config in its section"


def test_the_lines_of_the_document_are_configs():
    """Each `algorithm: {...}` in docs/algorithms.md builds what it is about."""
    lines = re.findall(r"`algorithm: (\{.*?\})`(?: |$)", (ROOT / "docs" / "algorithms.md").read_text(), re.MULTILINE)
    plain = read((ROOT / "configs" / "toy_grpo.yaml").read_text(), "") | {"base_rewards": "base.jsonl"}
    named = []
    for line in lines:
        algorithm = read(line, "")
        more = {"rewards": {}} if algorithm["name"] == "sft" else {}
        parsed(Config, plain | {"algorithm": algorithm} | more, line)
        named.append(algorithm["name"])
    assert set(named) == set(ALGORITHMS)
