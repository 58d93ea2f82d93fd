"""The learning rate of every optimizer step, the parameters that it moves and decays, and the clip of their gradients."""

import json
import math

import pytest
import torch
from torch import nn
from transformers import get_scheduler

from mmrl.algorithms import SFT
from mmrl.config.schema import OptimizerSection
from mmrl.models.families import FAMILIES
from mmrl.training.build import build
from mmrl.training.optimizer import freeze, lr_multiplier, optimizer_of, parts_of
from tests import run_fixtures, tiny_models

PARTS = ("vision_tower", "projector", "language_model")
SCHEDULES = ("constant", "linear", "cosine")
COS_36, COS_72 = (1 + math.sqrt(5)) / 4, (math.sqrt(5) - 1) / 4  # of degrees, by the pentagon
ROOT_3 = math.sqrt(3)


def shares(total, **settings):
    """The share of the rate at each optimizer step of a run of ``total``."""
    return [lr_multiplier(step, total, OptimizerSection(**settings)) for step in range(total)]


BY_HAND = {
    "constant": (dict(schedule="constant"), [1, 1, 1, 1]),
    "constant, warm-up": (dict(schedule="constant", warmup_steps=4), [1 / 4, 2 / 4, 3 / 4, 1, 1, 1]),
    "constant, whatever is to be left": (dict(schedule="constant", min_lr_ratio=0.1, decay_start=0.5), [1, 1, 1, 1]),
    "linear": (dict(schedule="linear"), [1, 4 / 5, 3 / 5, 2 / 5, 1 / 5]),
    "linear, warm-up": (dict(schedule="linear", warmup_steps=2), [1 / 2, 1, 1, 3 / 4, 2 / 4, 1 / 4]),
    "linear, final": (dict(schedule="linear", min_lr_ratio=0.5), [1, 7 / 8, 6 / 8, 5 / 8]),
    "linear, late": (dict(schedule="linear", decay_start=0.5), [1, 1, 1, 1, 1, 3 / 4, 2 / 4, 1 / 4]),
    "linear, warm-up ends late": (dict(schedule="linear", warmup_steps=4, decay_start=0.25), [1 / 4, 1 / 2, 3 / 4, 1, 1, 3 / 4, 1 / 2, 1 / 4]),
    "cosine": (dict(schedule="cosine"), [1, (2 + ROOT_3) / 4, 3 / 4, 1 / 2, 1 / 4, (2 - ROOT_3) / 4]),
    "cosine, all of it": (
        dict(schedule="cosine", warmup_steps=2, decay_start=0.5, min_lr_ratio=0.1),
        [1 / 2, 1, 1, 1, 1, 1, *(0.55 + 0.45 * cos for cos in (COS_36, COS_72, -COS_72, -COS_36))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_HAND)
def test_rates_are_those_worked_by_hand(case):
    settings, expected = BY_HAND[case]
    assert shares(len(expected), **settings) == pytest.approx(expected, abs=1e-12)


def test_the_default_is_a_cosine_without_warm_up_down_to_nothing():
    assert shares(6) == pytest.approx(BY_HAND["cosine"][1])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 3])
@pytest.mark.parametrize("decay_start", [0.0, 0.5])
def test_a_schedule_begins_above_nothing_and_ends_at_what_is_to_be_left(schedule, warmup, decay_start):
    section = OptimizerSection(schedule=schedule, warmup_steps=warmup, decay_start=decay_start, min_lr_ratio=0.2)
    rates = [lr_multiplier(step, 12, section) for step in range(13)]
    assert rates[0] == pytest.approx(1 / max(1, warmup))  # the first step learns
    assert max(rates) == 1
    fall = rates[max(warmup - 1, 0) :]
    assert fall == sorted(fall, reverse=True)
    assert rates[12] == lr_multiplier(100, 12, section) == pytest.approx(1 if schedule == "constant" else 0.2)


@pytest.mark.parametrize(("ours", "theirs"), [("linear", "linear"), ("cosine", "cosine"), ("constant", "constant_with_warmup"), ("cosine", "cosine_with_min_lr")])  # fmt: skip
@pytest.mark.parametrize("warmup", [0, 5])
def test_after_its_warm_up_a_schedule_is_that_of_transformers(ours, theirs, warmup):
    """Transformers' warm-up begins with a rate of 0, ours with one that learns."""
    final = 0.1 if theirs == "cosine_with_min_lr" else 0.0
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    options = {"min_lr_rate": final} if final else None
    scheduler = get_scheduler(theirs, optimizer, warmup, 40, scheduler_specific_kwargs=options)
    expected = [scheduler.lr_lambdas[0](step) for step in range(41)]
    section = OptimizerSection(schedule=ours, warmup_steps=warmup, min_lr_ratio=final)
    found = [lr_multiplier(step, 40, section) for step in range(41)]
    assert found[warmup:] == pytest.approx(expected[warmup:], abs=1e-12)
    assert found[:warmup] == pytest.approx(expected[1 : warmup + 1], abs=1e-12)  # a step ahead


RATES = {"language_model": 1e-3, "projector": 2e-3, "vision_tower": 0.0}
SECTION = {"learning_rates": RATES, "schedule": "linear", "warmup_steps": 2, "min_lr_ratio": 0.1, "max_grad_norm": 0.01}
OF_A_RUN = [1 / 2, 1, 1, 0.1 + 0.9 * 3 / 4, 0.1 + 0.9 * 2 / 4, 0.1 + 0.9 * 1 / 4]  # six updates


def watched(config, steps, resume=False):
    """Rates and gradient norm of each optimizer step of a run that ends, with a checkpoint, after ``steps`` steps."""
    run, taken = build(config, resume=resume, quiet=True), []
    step = run.trainer.optimizer.step

    def noted():
        groups = run.trainer.optimizer.param_groups
        norm = nn.utils.get_total_norm([p.grad for group in groups for p in group["params"]])
        taken.append(({(group["base_lr"], group["lr"]) for group in groups}, norm.item()))
        return step()

    run.trainer.optimizer.step = noted
    for _ in range(steps):
        run.step()
    run.save()
    run.log.close()
    run.feeder.reader.close()
    return taken


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return run_fixtures.make_root(tmp_path_factory.mktemp("rates") / "root")


def test_a_run_steps_with_its_base_rates_times_the_schedule_and_goes_on_so_where_it_was_stopped(data, tmp_path):
    algorithm = {"name": "grpo", "beta": 0.0, "epsilon": 0.2}
    changes = dict(algorithm=algorithm, mini_batches_per_step=2, steps=3, optimizer=SECTION)
    whole, parted = (run_fixtures.config(data, tmp_path / out, "grpo", **changes) for out in ("whole", "parted"))
    taken = watched(whole, 3)
    assert len(taken) == len(OF_A_RUN)
    for (groups, norm), share in zip(taken, OF_A_RUN, strict=True):
        assert {base for base, _ in groups} == {1e-3, 2e-3}
        assert all(rate == pytest.approx(base * share) for base, rate in groups)
        assert norm <= 0.01 * (1 + 1e-5)
    assert max(norm for _, norm in taken) == pytest.approx(0.01, rel=1e-3)  # it was larger, and was cut
    shown = [line["learning_rate"] for line in run_fixtures.lines(tmp_path / "whole" / "metrics.jsonl")]
    assert shown == pytest.approx([2e-3 * (a + b) / 2 for a, b in zip(OF_A_RUN[::2], OF_A_RUN[1::2], strict=True)])
    assert [*watched(parted, 1), *watched(parted, 2, resume=True)] == taken
    state = json.loads((tmp_path / "parted" / "checkpoints" / "step-000003" / "trainer" / "state.json").read_text())
    assert state["update"] == 6


def decayed(policy, **settings):
    """The names of the parameters that an optimizer decays, and of those that it moves without."""
    optimizer = optimizer_of(policy, OptimizerSection(weight_decay=0.1, **settings))
    names = {p: name for name, p in policy.model.named_parameters()}
    found = {0.1: set(), 0.0: set()}
    for group in optimizer.param_groups:
        found[group["weight_decay"]] |= {names[p] for p in group["params"]}
    return found[0.1], found[0.0]


def by_module(model):
    """The names of the weights of layers that multiply, embed or convolve."""
    kinds = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv3d)
    weights = {m.weight for m in model.modules() if isinstance(m, kinds)}
    return {name for name, p in model.named_parameters() if p in weights}


@pytest.mark.parametrize("family", FAMILIES)
def test_matrices_and_embeddings_are_decayed_and_norms_biases_and_other_vectors_are_not(family):
    policy = tiny_models.policy(family)
    fading, lasting = decayed(policy)
    assert fading == by_module(policy.model)
    assert not fading & lasting
    assert fading | lasting == {name for name, _ in policy.model.named_parameters()}
    assert "model.language_model.embed_tokens.weight" in fading
    assert "model.visual.patch_embed.proj.weight" in fading
    assert {"model.language_model.norm.weight", "model.visual.blocks.0.attn.qkv.bias"} <= lasting


def test_a_step_without_a_gradient_shrinks_what_is_decayed_and_leaves_the_rest():
    policy = tiny_models.policy()
    optimizer = optimizer_of(policy, OptimizerSection(weight_decay=0.1))
    before = {name: p.detach().clone() for name, p in policy.model.named_parameters()}
    for group in optimizer.param_groups:
        group["lr"] = 0.5
    for p in policy.model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, p in policy.model.named_parameters():
        kept = 1 - 0.5 * 0.1 if name in by_module(policy.model) else 1.0
        torch.testing.assert_close(p.detach(), before[name] * kept, msg=name)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_part_of_rate_0_has_no_group_and_needs_no_gradient(family, part):
    policy = tiny_models.policy(family)
    rates = {"vision_tower": 1e-5, "projector": 2e-5, "language_model": 3e-5} | {part: 0.0}
    section = OptimizerSection(learning_rates=rates)
    freeze(policy, section)
    parts = {name: set(found.values()) for name, found in parts_of(policy.model, policy.family).items()}
    assert {p for p in policy.model.parameters() if not p.requires_grad} == parts[part]
    groups = optimizer_of(policy, section).param_groups
    assert {p: group["base_lr"] for group in groups for p in group["params"]} == {
        p: rates[name] for name, found in parts.items() if name != part for p in found
    }


def test_the_projector_is_no_part_of_the_tower():
    policy = tiny_models.policy("qwen3_vl")
    parts = parts_of(policy.model, policy.family)
    assert "model.visual.merger.norm.weight" in parts["projector"]
    assert "model.visual.deepstack_merger_list.0.norm.weight" in parts["projector"]
    assert "model.visual.blocks.0.norm1.weight" in parts["vision_tower"]
    assert all(name.startswith("model.language_model.") for name in parts["language_model"])
    assert sum(map(len, parts.values())) == len(list(policy.model.parameters()))


def gradient(max_grad_norm):
    """The gradient that the optimizer is given, in a row, and its norm as it is reported."""
    policy = tiny_models.policy(dtype=torch.float64)
    trainer = run_fixtures.trainer_of(SFT(), policy, run_fixtures.fixed_groups(policy), max_grad_norm=max_grad_norm)
    norm = trainer.step()["grad_norm"]
    return torch.cat([g.flatten() for g in trainer.optimizer.given]), norm


def test_a_gradient_above_the_clip_is_scaled_to_it_and_its_own_norm_is_reported():
    free, norm = gradient(math.inf)
    assert free.norm().item() == pytest.approx(norm)
    loose, same = gradient(2 * norm)
    assert same == norm
    torch.testing.assert_close(loose, free, atol=0, rtol=0)
    cut, same = gradient(norm / 4)
    assert same == norm
    torch.testing.assert_close(cut, free / 4, atol=1e-12, rtol=1e-5)
