"""The joint between methods and trainer: what a newcomer writes, what has a default, what is kept between steps."""

from dataclasses import FrozenInstanceError, dataclass, replace
from typing import get_type_hints

import pytest
import torch

from mmrl.algorithms import ALGORITHMS, GRPO, Algorithm, Needs, TargetMatching
from mmrl.algorithms.base import known
from mmrl.algorithms.target_matching import RunningZ, TargetKL, TargetState
from mmrl.types import LossNormalisers, Tokens
from tests import run_fixtures, tiny_models
from tests.algorithms.factories import scored


@dataclass(frozen=True, kw_only=True)
class Reinforce(Algorithm):
    """A whole method: its loss."""

    def loss(self, policy, weights, rows):
        return -weights.advantage * policy.logprobs


def test_a_method_is_its_loss_and_the_trainer_runs_it():
    policy = tiny_models.policy()
    trainer = run_fixtures.trainer_of(Reinforce(), policy, run_fixtures.fixed_groups(policy))
    before = [p.detach().clone() for p in policy.model.parameters()]
    trainer.step()
    assert trainer.state is None
    assert any(not torch.equal(p, b) for p, b in zip(policy.model.parameters(), before, strict=True))


def test_by_default_its_credit_is_grpos_without_a_divergence():
    s = scored([1.0, 0, 1], [1, 1, 0], [0.5] * 3)
    totals = LossNormalisers(1, 3, int(s.group.completion_mask.sum()))
    mine, theirs = Reinforce().token_weights(s, totals), GRPO(beta=0, reference=None).token_weights(s, totals)
    assert torch.equal(mine.advantage, theirs.advantage)
    assert torch.equal(mine.loss_weight, theirs.loss_weight)
    assert not mine.kl_weight.any()


def test_a_method_without_a_loss_is_none():
    @dataclass(frozen=True, kw_only=True)
    class Nothing(Algorithm):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Nothing()


def test_the_methods_of_a_target_say_what_a_completion_is_worth():
    @dataclass(frozen=True, kw_only=True)
    class Nothing(TargetMatching):
        target: tuple = ()

    with pytest.raises(TypeError, match="advantages"):
        Nothing()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_method_has_the_name_that_chooses_it_and_says_what_it_needs(name):
    algorithm = ALGORITHMS[name]()
    assert algorithm.name == name
    assert get_type_hints(type(algorithm))["name"].__args__ == (name,)  # by which a config is told from another
    assert isinstance(algorithm.needs, Needs)
    assert type(algorithm).__doc__
    with pytest.raises(FrozenInstanceError):
        algorithm.name = "other"


def test_what_was_not_declared_is_missed_by_its_name():
    s = replace(scored([1.0, 0], [1, 1], [0.5] * 2), ref_logprobs=None)
    grpo, totals = ALGORITHMS["care"](beta=0.1), LossNormalisers(1, 2, int(s.group.completion_mask.sum()))
    with pytest.raises(ValueError, match=r"algorithm.needs: expected reference, .*Declare it in needs"):
        grpo.token_weights(s, totals)
    assert known(0.0, "reference") == 0.0


def test_a_row_that_is_only_read_is_not_learned_from():
    policy = tiny_models.policy()
    trainer = run_fixtures.trainer_of(Reinforce(), policy, run_fixtures.fixed_groups(policy, ["text"]))
    (one,) = trainer.collect()
    (bundle,) = trainer.forward.planner.plan([(one, trainer.algorithm.token_weights(one, trainer.normalisers([one])))])
    rows = replace(bundle.micro_batches[0][0], weights=None)
    logprobs = torch.zeros(one.group.completion_mask.shape)
    with pytest.raises(ValueError, match="rows of text: expected weights to learn from, found none"):
        trainer.backward([Tokens(logprobs, logprobs)], [rows], trainer.meter)


def test_a_targets_state_is_the_same_after_a_checkpoint():
    state = TargetState(
        {"e/1": RunningZ(-745.5, 3.0), "e2": RunningZ(0.1, 1.5)},
        torch.tensor([0.1, -2.0], dtype=torch.float64),
        moments_ess=7.3,
        steps_without_support=4,
        kl=TargetKL(0.2, 0.3),
    )
    tensors = state.to_tensors()
    assert all(value.dtype == torch.float64 for value in tensors.values())
    again = TargetState.from_tensors(tensors)
    assert again.running_z == state.running_z
    assert torch.equal(again.coefficients, state.coefficients)
    assert (again.moments_ess, again.steps_without_support, again.kl) == (7.3, 4, (0.2, 0.3))
    nothing = TargetState.from_tensors(TargetState().to_tensors())
    assert (nothing.running_z, nothing.coefficients, nothing.steps_without_support, nothing.kl) == ({}, None, 0, None)


def test_a_value_of_another_shape_is_refused_before_it_is_broadcast():
    @dataclass(frozen=True, kw_only=True)
    class OneNumber(Algorithm):
        def advantages(self, scored, state=None):
            return scored.total.mean()

        def loss(self, policy, weights, rows):
            return -weights.advantage * policy.logprobs

    s = scored([1.0, 0], [1, 1], [0.5] * 2)
    with pytest.raises(ValueError, match=r"OneNumber.advantages: expected a tensor \[g\] of shape \[2\], found \[\]"):
        OneNumber().token_advantages(s)
