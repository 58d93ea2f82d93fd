"""A run that matches a target goes on from a checkpoint as if nothing had been: running Z, coefficients and proposal included."""

import torch
from safetensors.torch import load_file

from mmrl.training.base_rewards import score_base_model
from mmrl.training.build import build
from tests import run_fixtures


def setting(root, out, table):
    """GDC with everything that it remembers."""
    algorithm = {
        "name": "gdc", "moments": {"accuracy": 0.12}, "z": "running", "proposal": {"every": 2},
        "target": [{"name": "tilt", "beta": 2.0}],
    }  # fmt: skip
    data = {
        "root": str(root), "sets": [{"format": "messages", "file": "d.jsonl", "limit": 2}], "template": "plain", "workers": 0,
    }  # fmt: skip
    more = {"algorithm": algorithm, "data": data, "base_rewards": str(table), "steps": 4}
    return run_fixtures.config(root, out, "grpo", model=root / "model", **more)


def test_what_an_algorithm_remembers_is_resumed(root, tmp_path):
    table = tmp_path / "base.jsonl"
    score_base_model(setting(root, tmp_path, table), 4, quiet=True)
    build(setting(root, tmp_path / "whole", table), quiet=True).fit(quiet=True)
    config = setting(root, tmp_path / "parts", table)
    run_fixtures.begun(config, steps=2)
    build(config, resume=True, quiet=True).fit(quiet=True)
    assert run_fixtures.numbers(tmp_path / "parts") == run_fixtures.numbers(tmp_path / "whole")
    at = "checkpoints/step-000004/trainer/algorithm_state.safetensors"
    mine, theirs = load_file(tmp_path / "parts" / at), load_file(tmp_path / "whole" / at)
    assert mine.keys() == theirs.keys() == {"lambda", "moments_ess", "kl", "z/e0", "z/e1"}
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert mine["z/e0"][1] == 4 * 4  # visited in each of four steps, four completions a visit
