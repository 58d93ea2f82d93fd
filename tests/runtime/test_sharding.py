"""Weights in shards learn what whole weights learn."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from mmrl.config.load import parse
from mmrl.config.schema import ConfigError, EvalConfig
from mmrl.runtime.ranks import Ranks
from mmrl.runtime.sharding import clip_gradients, full, full_parameters, gather_state_dict, load_full_state_dict, local
from mmrl.training.build import build
from mmrl.training.step.batching import BatchPlanner, PromptBatch
from mmrl.types import RowSlice
from tests import run_fixtures, tiny_models
from tests.runtime import two_ranks, two_shards

pytestmark = pytest.mark.slow("two processes, several minutes; test_ranks trains in two processes")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data root, and what two processes that share the weights made of it."""
    folder = tmp_path_factory.mktemp("shards")
    root = run_fixtures.make_root(folder / "root")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "tests.runtime.two_shards", str(root), str(folder)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, torch.load(folder / "found.pt", weights_only=False)


@pytest.fixture(scope="module")
def alone(made):
    """The same run, in one process with whole weights."""
    folder, _ = made
    build(two_shards.settings(folder / "root", folder / "one"), quiet=True).fit(quiet=True)
    return folder / "one"


def names():
    """The examples of both ranks."""
    return [name for share in two_ranks.SHARES for name in share]


def test_each_rank_holds_its_part_of_every_tensor(made):
    _, found = made
    assert found["world"] == 2
    assert len(found["shares"]) == 4  # of a run and of one that was resumed
    for memory, tensors in found["shares"]:
        assert tensors == 1
        assert 0.49 < memory < 0.52


@pytest.mark.parametrize("variant", ["double", "untied", "tower", "language", "projector", "exact"])
def test_shards_take_the_steps_of_whole_weights(made, variant):
    _, found = made
    _, expected = two_shards.learn(variant, names(), Ranks(Accelerator()))
    for what in ("gradients", "weights", "average"):
        assert found[variant][what].keys() == expected[what].keys()
        for name, tensor in expected[what].items():
            torch.testing.assert_close(found[variant][what][name], tensor, atol=1e-10, rtol=0, msg=f"{what} {name}")
    assert all(gradient.any() for gradient in expected["gradients"].values())
    for one, two in zip(expected["numbers"], found[variant]["numbers"], strict=True):
        seconds = {name for name in one if name.startswith("timing_s/")}
        assert one.keys() == two.keys()
        for name in one.keys() - seconds:
            assert two[name] == pytest.approx(one[name], rel=1e-9), name
    assert one["ema/drift_ratio"] != 1


@pytest.mark.parametrize(("variant", "average"), [("narrow", torch.bfloat16), ("narrow projector", torch.float32)])
def test_bfloat16_products_and_average_stay_as_close_as_their_rounding(made, variant, average):
    _, found = made
    _, expected = two_shards.learn(variant, names(), Ranks(Accelerator()))
    one, two = (torch.cat([g.flatten() for g in x["gradients"].values()]) for x in (expected, found[variant]))
    assert (one - two).norm() < 1e-3 * one.norm()  # bfloat16 itself moves this gradient by 2.5%
    assert {t.dtype for n, t in found[variant]["average"].items() if not n.startswith("watch.")} == {average}
    for one, two in zip(expected["numbers"], found[variant]["numbers"], strict=True):
        assert two["ema/drift_ratio"] == pytest.approx(one["ema/drift_ratio"], abs=0.02)
        assert two["loss"] == pytest.approx(one["loss"], rel=0.05)


def test_every_rank_hears_of_the_example_that_is_not_finite(made):
    _, found = made
    assert len(found["said"]) == 2
    assert all("examples film. " in said for said in found["said"])


def test_ranks_get_equally_many_parts_and_the_same_kinds_of_media():
    """By hand: (parts, kinds) of one rank [(1, video), (3, image)] and of another [(2, image)].

    Many parts first: (3, image) meets (2, image), and (1, video) meets nothing. The other rank reads one more part
    beside its image, and a made-up video; the first has nothing to add. Where one has a video and the other an image,
    both see both kinds, each with a part more.
    """
    policy = tiny_models.policy()
    first, other = made_up(policy, [(1, "video"), (3, "image")]), made_up(policy, [(2, "image")])
    assert levelled(policy, first, other) == [
        [(3, {"image"}, 0), (1, {"video"}, 0)],
        [(3, {"image"}, 1), (1, {"video"}, 1)],
    ]
    both = {"image", "video"}
    assert levelled(policy, made_up(policy, [(1, "video")]), other) == [[(3, both, 2)], [(3, both, 1)]]


def made_up(policy, shapes):
    """Prompt batches of shapes."""
    groups = {kind: policy.dummy_group({kind}) for _, kind in shapes}
    return [PromptBatch((groups[k].prompt,), ((RowSlice(0, groups[k]),),) * count) for count, k in shapes]


def levelled(policy, *ranks):
    """Of each prompt batch of each rank: micro-batches, kinds, and how many micro-batches have no loss."""
    shapes = []
    alone = BatchPlanner(SimpleNamespace(gather=lambda mine: shapes.append(mine) or [mine]), dummy=policy.dummy_group)
    for batches in ranks:
        alone.align(batches, policy.dummy_group)
    together = BatchPlanner(SimpleNamespace(gather=lambda _: shapes), dummy=policy.dummy_group)
    return [
        [(len(b.micro_batches), set(b.kinds), dummies(b)) for b in together.align(batches, policy.dummy_group)]
        for batches in ranks
    ]


def dummies(batch):
    """How many micro-batches have no loss."""
    return sum(micro_batch[0].dummy for micro_batch in batch.micro_batches)


def test_whole_weights_are_left_alone():
    policy = tiny_models.policy()
    before = dict(policy.model.named_parameters())
    with full_parameters(policy.model):
        assert all(p is before[name] for name, p in policy.model.named_parameters())
    p = next(iter(before.values()))
    assert all(same(p) is p for same in (full, local))
    state = gather_state_dict(policy.model)
    assert state["lm_head.weight"] is state["model.language_model.embed_tokens.weight"]
    state = {name: tensor + 1 for name, tensor in state.items()}
    load_full_state_dict(policy.model, state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in policy.model.state_dict().items())
    p.grad = torch.full_like(p, 2.0)
    assert clip_gradients([p], 1.0) == pytest.approx(2 * p.numel() ** 0.5)


def test_a_sharded_run_samples_and_measures_what_a_whole_one_does(made, alone):
    folder, _ = made
    for one, two in zip(run_fixtures.numbers(alone), run_fixtures.numbers(folder / "two"), strict=True):
        assert two == pytest.approx(one, rel=1e-3, abs=1e-5)
    assert "validation/own/accuracy" in one
    one, two = (said(f) for f in (alone, folder / "two"))  # rank 0 writes its own
    assert [step for step, _ in two] == [1, 2, 3, 4]
    assert two.items() <= one.items()


def said(folder):
    """Completions by step and example."""
    rows = run_fixtures.lines(folder / "rollouts.jsonl")
    return {(row["step"], row["example"]): [c["text"] for c in row["completions"]] for row in rows}


def close(one, two):
    """Two checkpoints hold the same, to the rounding of float32."""
    files = ["model.safetensors", "trainer/optimizer.safetensors", "trainer/reference.safetensors"]
    for file in files:
        expected, found = load_file(one / file), load_file(two / file)
        assert expected.keys() == found.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, atol=2e-5, rtol=1e-3, msg=f"{file} {name}")


def test_a_sharded_checkpoint_is_that_of_a_whole_run_and_is_loaded_by_from_pretrained(made, alone):
    folder, _ = made
    for step in ("step-000002", "step-000004"):
        close(alone / "checkpoints" / step, folder / "two" / "checkpoints" / step)
    model = AutoModelForImageTextToText.from_pretrained(folder / "two" / "checkpoints" / "step-000004")
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight


def test_a_sharded_run_goes_on_sharded_and_whole(made):
    folder, _ = made
    expected = folder / "two" / "checkpoints" / "step-000004"
    close(expected, folder / "again" / "checkpoints" / "step-000004")
    shutil.copytree(folder / "two" / "checkpoints" / "step-000002", folder / "gather" / "checkpoints" / "step-000002")
    build(two_shards.settings(folder / "root", folder / "gather"), resume=True, quiet=True).fit(quiet=True)
    close(expected, folder / "gather" / "checkpoints" / "step-000004")


def test_shards_of_one_rank_or_of_an_evaluation_are_refused(root, tmp_path):
    with pytest.raises(ConfigError, match=r"model\.shard: expected several ranks .* found one; start with torchrun"):
        build(two_shards.settings(root, tmp_path / "out", shard=True), quiet=True)
    sets = [{"name": "s", "format": "messages", "file": "f"}]
    evaluation = {"root": "r", "sets": sets, "template": "plain", "graders": {"a": "accuracy"}}
    plain = {"out": "x", "model": {"path": "m", "shard": True}, "evaluation": evaluation}
    with pytest.raises(ConfigError, match=r"model\.shard: expected false"):
        parse(EvalConfig, plain, "made")
