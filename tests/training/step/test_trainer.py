"""The step: parts change nothing, silent groups cost nothing, what is not finite touches nothing, averages follow."""

from collections import Counter
from dataclasses import dataclass, replace
from unittest.mock import patch

import pytest
import torch

from mmrl.algorithms import CARE, GRPO, SFT, KLInLoss
from mmrl.algorithms.grpo import GRPO as Base
from mmrl.models.reference import Reference
from mmrl.training.step.non_finite import NonFiniteError
from mmrl.types import EMA, Frozen, RowSlice, TokenWeights
from tests import run_fixtures, tiny_models

METHODS = {
    "sft": SFT(),
    "grpo, frozen": GRPO(beta=0.1),
    "grpo, average, clip, by tokens": GRPO(beta=0.1, epsilon=0.2, loss_agg_mode="token-mean", reference=EMA()),
    "grpo, no reference": GRPO(beta=0, reference=None),
    "care": CARE(),
    "kl in the loss, over the whole vocabulary": KLInLoss(
        estimator="kl_policy_reference", level="to_go", loss_scale_factor=10.0
    ),
    "care, clip": CARE(epsilon=0.2),
}


def flat(tensors) -> torch.Tensor:
    """All numbers in a row."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def weights(policy) -> torch.Tensor:
    """The policy's weights as they are now."""
    return flat(p.detach().clone() for p in policy.model.parameters())


def by_dtype():
    """Every method in float64; in float32, whose bound is looser and the same for all, one by default."""
    for method in METHODS:
        yield pytest.param(method, torch.float64, id=f"{method}-float64")
        slow = pytest.mark.slow("a looser bound than its float64; care is in float32 by default")
        yield pytest.param(method, torch.float32, id=f"{method}-float32", marks=[slow] * (method != "care"))


def one_step(algorithm, dtype, max_tokens_per_micro_batch):
    """The gradient and the numbers of a step on fixed completions."""
    policy = tiny_models.policy(dtype=dtype)
    trainer = run_fixtures.trainer_of(
        algorithm, policy, run_fixtures.fixed_groups(policy), max_tokens_per_micro_batch=max_tokens_per_micro_batch
    )
    numbers = trainer.step()
    return flat(trainer.optimizer.given), numbers, policy.work


@pytest.mark.parametrize(("method", "dtype"), list(by_dtype()))
def test_the_size_of_parts_does_not_change_the_gradient(method, dtype):
    whole, numbers, work = one_step(METHODS[method], dtype, 10**6)
    assert whole.norm() > 1e-3
    for max_tokens_per_micro_batch in (1, 150, 400):
        cut, others, more = one_step(METHODS[method], dtype, max_tokens_per_micro_batch)
        if dtype == torch.float64:
            torch.testing.assert_close(cut, whole, atol=1e-10, rtol=0)
        assert (cut - whole).norm() <= 1e-5 * whole.norm()
        assert others["loss"] == pytest.approx(numbers["loss"], abs=1e-6)
        assert others["entropy"] == pytest.approx(numbers["entropy"], rel=1e-6)
        assert more.vision_passes == work.vision_passes


def test_rewards_that_agree_give_a_group_no_say_and_cost_no_pass():
    def grade(group):
        rewards = run_fixtures.fixed_rewards(group)
        return rewards if group.prompt.example.id == "photo" else {n: torch.ones(len(group)) for n in rewards}

    def step():
        policy = tiny_models.policy(dtype=torch.float64)
        trainer = run_fixtures.trainer_of(
            GRPO(beta=0, reference=None), policy, run_fixtures.fixed_groups(policy), grade=grade
        )
        with patch.object(policy, "encode", wraps=policy.encode) as see:
            numbers = trainer.step()
        encoded = [prompt.example.id for call in see.call_args_list for prompt in call.args[0]]
        return trainer.optimizer.given, numbers, encoded, weights(policy)

    given, numbers, encoded, after = step()
    assert encoded == ["photo"]
    assert numbers["groups/frac_without_signal"] == 0.75
    with patch.object(TokenWeights, "without_signal", False):
        others, _, everybody, expected = step()
    assert len(everybody) == 4
    torch.testing.assert_close(flat(given), flat(others), atol=1e-12, rtol=0)
    torch.testing.assert_close(after, expected, atol=1e-12, rtol=0)


def test_a_pull_alone_makes_a_group_useful():
    policy = tiny_models.policy()
    same = {"grade": lambda group: {n: torch.ones(len(group)) for n in ("accuracy", "format")}}
    trainer = run_fixtures.trainer_of(GRPO(beta=0.1), policy, run_fixtures.fixed_groups(policy), **same)
    assert trainer.step()["groups/frac_without_signal"] == 0
    assert flat(trainer.optimizer.given).norm() > 0


@pytest.mark.parametrize("shares", [True, False])
def test_without_any_useful_group_the_optimizer_sees_zeros(shares):
    policy = tiny_models.policy(share_prefix=shares)
    same = {"grade": lambda group: {n: torch.ones(len(group)) for n in ("accuracy", "format")}}
    trainer = run_fixtures.trainer_of(GRPO(beta=0, reference=None), policy, run_fixtures.fixed_groups(policy), **same)
    trainer.forward.planner = replace(trainer.forward.planner, shares_prefix=shares)
    numbers = trainer.step()
    assert numbers["groups/frac_without_signal"] == 1
    assert not flat(trainer.optimizer.given).any()
    assert trainer.update_done == trainer.step_done == 1


@dataclass(frozen=True)
class Cliff(Base):
    """A loss that is finite where its gradient is not."""

    beta: float = 0.0
    reference: None = None

    def loss(self, policy, weights, _rows):
        return -policy.logprobs + ((policy.logprobs.detach() - policy.logprobs) * weights.advantage).abs().sqrt()


@dataclass(frozen=True)
class Hole(Cliff):
    """A loss that is not finite for two of the examples."""

    def loss(self, policy, weights, rows):
        bad = rows.group.prompt.example.id in ("film", "photo")
        return -policy.logprobs * weights.advantage * (float("nan") if bad else 1.0)


def broken(group):
    """Rewards that are no numbers for two of the examples."""
    bad = group.prompt.example.id in ("film", "photo")
    return {n: r * float("nan") if bad else r for n, r in run_fixtures.fixed_rewards(group).items()}


@pytest.mark.parametrize(
    ("algorithm", "options", "named"),
    [
        (GRPO(beta=0, reference=None), {"grade": broken}, "expected a finite reward, .*; examples film, photo. "),
        (Hole(), {}, "expected a finite loss, .*; examples film, photo. "),
        (Cliff(), {}, "expected a finite gradient, .*; examples film, films, photo, text. "),
    ],
    ids=["reward", "loss", "gradient"],
)
@pytest.mark.parametrize("max_tokens_per_micro_batch", [1, 10**6])
def test_what_is_not_finite_names_examples_and_touches_nothing(algorithm, options, named, max_tokens_per_micro_batch):
    policy = tiny_models.policy()
    groups = run_fixtures.fixed_groups(policy)
    trainer = run_fixtures.trainer_of(
        GRPO(beta=0, reference=None), policy, groups, max_tokens_per_micro_batch=max_tokens_per_micro_batch
    )
    trainer.step()
    before, state = weights(policy), {p: dict(s) for p, s in trainer.optimizer.state.items()}
    trainer.algorithm = trainer.forward.algorithm = algorithm
    trainer.collector.grade = run_fixtures.of_groups(options.get("grade", run_fixtures.fixed_rewards))
    with pytest.raises(NonFiniteError, match=f"step 2: {named}"):
        trainer.step()
    assert torch.equal(weights(policy), before)
    assert (trainer.step_done, trainer.update_done, trainer.mid_step) == (1, 1, False)
    assert all(trainer.optimizer.state[p][k] is v for p, s in state.items() for k, v in s.items())
    assert all(p.grad is None for p in policy.model.parameters())
    trainer.algorithm = trainer.forward.algorithm = GRPO(beta=0, reference=None)
    trainer.collector.grade = run_fixtures.of_groups(run_fixtures.fixed_rewards)
    trainer.step()  # and it can go on
    assert trainer.step_done == 2


def test_the_average_follows_after_every_tenth_step_as_its_formula_says():
    policy = tiny_models.policy()
    reference = Reference(policy, EMA(decay=0.9, every=10))
    start = weights(policy).double()
    trainer = run_fixtures.trainer_of(CARE(), policy, run_fixtures.fixed_groups(policy), reference=reference)
    expected, ratios = start, {}
    for step in range(1, 21):
        numbers = trainer.step()
        if step % 10 == 0:
            expected = 0.9 * expected + 0.1 * weights(policy).double()
            ratios[step] = numbers["ema/drift_ratio"]
        else:
            assert "ema/drift_ratio" not in numbers
        found = flat(p.double() for p in reference.model.parameters())
        torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-6)
    assert (expected - start).norm() > 1e-3
    assert all(ratio == pytest.approx(1, abs=0.01) for ratio in ratios.values())


def test_the_published_average_in_bfloat16_hardly_moves_and_says_so():
    ratios = {}
    for dtype in ("float32", "bfloat16"):
        policy = tiny_models.policy()
        reference = Reference(policy, EMA(decay=0.995, every=1, dtype=dtype))
        trainer = run_fixtures.trainer_of(
            CARE(), policy, run_fixtures.fixed_groups(policy), reference=reference, rate=1e-5
        )
        ratios[dtype] = [trainer.step()["ema/drift_ratio"] for _ in range(3)][-1]
    assert ratios["float32"] == pytest.approx(1, abs=0.01)
    assert abs(ratios["bfloat16"]) < 0.1


def test_a_reference_leaves_the_policy_alone_and_a_frozen_one_stays():
    after = []
    for update in (Frozen(), EMA(every=1)):
        policy = tiny_models.policy()
        reference = Reference(policy, update)
        start = weights(policy)
        trainer = run_fixtures.trainer_of(CARE(bonus=0), policy, run_fixtures.fixed_groups(policy), reference=reference)
        numbers = [trainer.step() for _ in range(2)]
        after.append(weights(policy))
        moved = not torch.equal(flat(reference.model.parameters()), start)
        assert moved == (update != Frozen())
        assert ("ema/drift_ratio" in numbers[-1]) == moved
    assert torch.equal(*after)


def test_several_updates_share_the_completions_of_a_step():
    policy = tiny_models.policy()
    groups = run_fixtures.fixed_groups(policy)
    for group in groups:
        group.sampling_logprobs.mul_(0.2)
    trainer = run_fixtures.trainer_of(
        GRPO(beta=0, epsilon=0.2, reference=None), policy, groups, mini_batches_per_step=2
    )
    read = Counter()
    with patch.object(policy, "encode", wraps=policy.encode) as see:
        trainer.step()
    for call in see.call_args_list:
        read.update(prompt.example.id for prompt in call.args[0])
    assert read == dict.fromkeys(run_fixtures.MIXED, 1)
    assert (trainer.step_done, trainer.update_done) == (1, 2)


def test_a_clip_stops_what_the_first_update_moved_too_far():
    policy = tiny_models.policy()
    (group,) = run_fixtures.fixed_groups(policy, ["text"])
    right = {"accuracy": torch.tensor([1.0, 0.0]), "format": torch.zeros(2)}
    with torch.no_grad(), policy.encode([group.prompt]) as encoded:
        (read,) = policy.logprobs(encoded, [RowSlice(0, group)])
    group.sampling_logprobs.copy_(
        read.logprobs - torch.tensor([[1.0], [-1.0]]) * group.completion_mask
    )  # ratios e and 1/e
    trainer = run_fixtures.trainer_of(GRPO(beta=0, epsilon=0.2, reference=None), policy, [group], grade=lambda _: right)
    trainer.step()
    assert not flat(trainer.optimizer.given).any()


def test_skipped_examples_leave_a_step_without_an_update():
    policy = tiny_models.policy()
    trainer = run_fixtures.trainer_of(SFT(), policy, [])
    before = weights(policy)
    numbers = trainer.step()
    assert torch.equal(weights(policy), before)
    assert (trainer.step_done, trainer.update_done, trainer.mid_step) == (1, 0, False)
    assert "loss" not in numbers


def test_metrics_of_an_update_are_those_recomputed_from_what_it_read():
    """Clip fractions, KLs and advantages of a second mini-batch, against their definitions on all tokens of the step."""
    policy = tiny_models.policy(dtype=torch.float64)
    algorithm = GRPO(beta=0.1, epsilon=0.2)
    groups = run_fixtures.fixed_groups(policy)
    generator = torch.Generator().manual_seed(0)
    for group in groups:  # a sampler of another policy
        noise = torch.randn(group.sampling_logprobs.shape, dtype=torch.float64, generator=generator) / 3
        group.sampling_logprobs.add_(noise * group.completion_mask)
    trainer = run_fixtures.trainer_of(algorithm, policy, groups)
    read = []

    @dataclass(frozen=True)
    class Listens(GRPO):
        def loss(self, policy, weights, rows):
            read.append((policy.logprobs.detach(), weights.advantage, rows))
            return super().loss(policy, weights, rows)

    trainer.algorithm = Listens(beta=0.1, epsilon=0.2)
    numbers = trainer.step()
    masks = [rows.group.completion_mask for _, _, rows in read]

    def every(values):
        return torch.cat([value[mask] for value, mask in zip(values, masks, strict=True)])

    logprobs, advantage = every([one for one, _, _ in read]), every([one for _, one, _ in read]).double()
    ratio = (logprobs - every([rows.group.sampling_logprobs for _, _, rows in read])).exp()
    low, high = (ratio < 0.8) & (advantage < 0), (ratio > 1.2) & (advantage > 0)
    assert low.any()
    assert high.any()
    log_ref = every([rows.ref_logprobs for _, _, rows in read]) - logprobs
    expected = {
        "clip_ratio/low_mean": low.double().mean(),
        "clip_ratio/high_mean": high.double().mean(),
        "clip_ratio/region_mean": (low | high).double().mean(),
        "approx_kl": (ratio - 1 - ratio.log()).mean(),
        "kl": (log_ref.exp() - 1 - log_ref).mean(),
        "advantages/mean": advantage.mean(),
        "advantages/std": advantage.std(correction=0),
        "advantages/min": advantage.min(),
        "advantages/max": advantage.max(),
    }
    found = {name: numbers[name] for name in expected}
    assert found == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-10)


def test_the_policy_is_the_sampler_in_the_first_mini_batch_alone():
    policy = tiny_models.policy(dtype=torch.float64)
    groups = run_fixtures.fixed_groups(policy)
    with torch.no_grad(), policy.encode([group.prompt for group in groups]) as encoded:
        for group, tokens in zip(
            groups, policy.logprobs(encoded, [RowSlice(i, g) for i, g in enumerate(groups)]), strict=True
        ):
            group.sampling_logprobs.copy_(tokens.logprobs)
    found = {}
    for mini_batches in (1, 2):
        trainer = run_fixtures.trainer_of(
            GRPO(beta=0, epsilon=0.2, reference=None), policy, groups, mini_batches_per_step=mini_batches, rate=1e-2
        )
        found[mini_batches] = trainer.step()["approx_kl"]
    assert abs(found[1]) < 1e-12
    assert found[2] > 1e-6
