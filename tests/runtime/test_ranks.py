"""Two processes learn what one learns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from mmrl.runtime.ranks import Ranks, join
from mmrl.training.build import build
from tests import run_fixtures, tiny_models
from tests.runtime import two_ranks


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two processes did: a run by the command line, then fixed steps."""
    folder = tmp_path_factory.mktemp("ranks")
    root = run_fixtures.make_root(folder / "root")
    config = run_fixtures.write_config(
        folder / "run.yaml", run_fixtures.settings(root, folder / "two", "care", steps=2)
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    process = subprocess.Popen(
        [*torchrun, "-m", "tests.runtime.two_ranks", str(config), str(folder)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = process.communicate(timeout=240)
    finally:
        process.terminate()  # and not kill, so that it ends the two
    assert process.returncode == 0, said
    return folder, json.loads((folder / "found.json").read_text())


def test_two_ranks_take_the_step_of_one(together):
    folder, found = together
    assert found["world"] == 2
    policy = tiny_models.policy(dtype=torch.float64)
    start = {name: p.detach().clone() for name, p in policy.model.named_parameters()}
    _, expected, numbers = two_ranks.learn(
        Ranks(Accelerator()), [n for share in two_ranks.SHARES for n in share], policy
    )
    weights = torch.load(folder / "weights.pt")
    for name, p in expected.items():
        torch.testing.assert_close(weights[name], p, atol=1e-10, rtol=0, msg=name)
        assert not torch.equal(p, start[name]), name
    for one, two in zip(numbers, found["numbers"], strict=True):
        assert one.keys() == two.keys()
        for name in one.keys() - {n for n in one if n.startswith("timing_s/")}:
            assert two[name] == pytest.approx(one[name], rel=1e-6), name
    assert found["numbers"][0]["groups/frac_without_signal"] == 0.25


def test_every_rank_hears_of_the_example_that_is_not_finite(together):
    _, found = together
    assert len(found["said"]) == 2
    assert all("examples film. " in said for said in found["said"])


def test_torchrun_trains_one_run_and_not_two(together):
    folder, _ = together
    run = build(run_fixtures.config(folder / "root", folder / "one", "care", steps=2), quiet=True)
    run.fit(quiet=True)
    one, two = run_fixtures.numbers(folder / "one"), run_fixtures.numbers(folder / "two")
    assert [line["step"] for line in two] == [1, 2]
    for expected, found in zip(one, two, strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert sorted(p.name for p in (folder / "two" / "checkpoints").iterdir()) == ["step-000002"]


def test_a_launcher_that_accelerate_does_not_see_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(
        torch.accelerator, "is_available", lambda: True
    )  # accelerate alone then takes the processes for one each
    with pytest.raises(RuntimeError, match=r"expected 2 processes that train together, .* found 1; start them"):
        join()
