"""What a method of a user's own returns in a wrong shape is refused with the method's name, before a gradient is computed."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from mmrl.algorithms import Algorithm, Needs
from mmrl.algorithms.base import State, check_round_trip
from mmrl.types import AdaptiveProposal, Frozen
from tests import run_fixtures, tiny_models, type_checks


class Count(State):
    """A state of one number."""

    def to_tensors(self):
        return {}

    @classmethod
    def from_tensors(cls, tensors):
        return cls()


@dataclass(frozen=True, kw_only=True)
class Faulty(Algorithm):
    """A method in which one function is replaced."""

    function: str = ""
    returns: Any = None
    needs: ClassVar[Needs] = Needs(reference=Frozen())

    def __getattribute__(self, name):
        plain = object.__getattribute__(self, name)
        if name != object.__getattribute__(self, "function"):
            return plain
        return lambda *given: object.__getattribute__(self, "returns")(plain(*given))

    def loss(self, policy, weights, rows):
        return -weights.advantage * policy.logprobs

    def clipped(self, policy, weights, rows):
        return weights.advantage > 0, weights.advantage < 0


@dataclass(frozen=True, kw_only=True)
class Keeps(Faulty):
    """A method with a state."""

    needs: ClassVar[Needs] = Needs(state=Count)

    def init_state(self, base):
        return Count()


@pytest.fixture(scope="module")
def policy():
    return tiny_models.policy()


@pytest.mark.parametrize(
    ("function", "returns", "said"),
    [
        ("advantages", lambda a: a[:1], r"Faulty.advantages: expected a tensor \[g\] of shape \[3\], found \[1\]"),
        ("advantages", lambda a: a[:, None], r"Faulty.advantages: .* found \[3, 1\]"),
        ("advantages", lambda a: a.tolist(), r"Faulty.advantages: .* found list"),
        ("advantages", lambda a: a.numpy().astype(np.float64), r"Faulty.advantages: .* found ndarray"),
        ("token_advantages", lambda a: a[:, :1], r"Faulty.token_advantages: expected a tensor \[g t\] of shape \[3, 9\], found \[3, 1\]"),
        ("kl_weights", lambda w: 0.1, r"Faulty.kl_weights: .* found float"),
        ("token_weights", lambda w: w.rows(slice(0, 1)), r"Faulty.token_weights: advantage: .* found \[1, 9\]"),
        ("token_weights", lambda w: (w.advantage, w.kl_weight), r"Faulty.token_weights: expected mmrl.TokenWeights, found tuple"),
        ("reference_mask", lambda m: m[:1], r"Faulty.reference_mask: expected a tensor \[g t\] of shape \[3, 9\], found \[1, 9\]"),
        ("reference_mask", lambda m: m.float(), r"Faulty.reference_mask: expected booleans, found torch.float32"),
        ("loss", lambda loss: loss.mean(), r"Faulty.loss: expected a tensor \[n t\] of shape \[3, 9\], found \[\]"),
        ("loss", lambda loss: loss.sum(dim=1, keepdim=True), r"Faulty.loss: .* found \[3, 1\]"),
        ("loss", lambda loss: loss.detach(), r"Faulty.loss: expected a loss that is differentiable"),
        ("loss", lambda loss: loss.round().long(), r"Faulty.loss: expected a loss that is differentiable"),
        ("clipped", lambda masks: masks[0], r"Faulty.clipped: expected two masks"),
        ("clipped", lambda masks: (masks[0], masks[1].float()), r"Faulty.clipped: expected booleans"),
        ("metrics", lambda _: {"mine": "much"}, r"Faulty.metrics: mine: expected a number, found 'much'"),
        ("metrics", lambda _: {"mine": torch.zeros(2)}, r"Faulty.metrics: mine: expected a number, found tensor"),
        ("metrics", lambda _: None, r"Faulty.metrics: expected a mapping from names to numbers, found NoneType"),
    ],
)  # fmt: skip
def test_a_wrong_shape_names_its_method(policy, function, returns, said):
    trainer = run_fixtures.trainer_of(
        Faulty(function=function, returns=returns), policy, run_fixtures.fixed_groups(policy, ["film"])
    )
    with pytest.raises(ValueError, match=said):
        trainer.step()
    assert all(p.grad is None for p in policy.model.parameters())


@pytest.mark.parametrize(("function", "named"), [("loss", "loss"), ("advantages", "token_weights")])
def test_an_error_of_a_method_names_it_and_the_example(policy, function, named):
    def fails(value):
        return value[:, :2] + torch.ones(5) if value.ndim == 2 else value + torch.ones(5)

    faulty = Faulty(function=function, returns=fails)
    with pytest.raises(RuntimeError, match="The size of tensor a") as caught:
        run_fixtures.trainer_of(faulty, policy, run_fixtures.fixed_groups(policy, ["film"])).step()
    assert caught.value.__notes__ == [f"in Faulty.{named}, example film"]


def test_numbers_of_another_type_are_taken(policy):
    """Advantages that are integers, and a metric that is a tensor."""
    groups = run_fixtures.fixed_groups(policy, ["film"])
    for function, returns in (("advantages", torch.Tensor.long), ("metrics", lambda _: {"mine": torch.tensor(2)})):
        numbers = run_fixtures.trainer_of(Faulty(function=function, returns=returns), policy, groups).step()
        assert isinstance(numbers.get("mine", 2.0), float)


def test_a_reference_mask_outside_the_completions_counts_inside_alone(policy):
    faulty = Faulty(function="reference_mask", returns=torch.ones_like)
    trainer = run_fixtures.trainer_of(faulty, policy, run_fixtures.fixed_groups(policy, ["film"]))
    trainer.step()
    (one,) = trainer.last
    assert torch.equal(one.ref_mask, one.group.completion_mask)


@pytest.mark.parametrize(
    ("kind", "function", "returned", "said"),
    [
        (Keeps, "init_state", {}, "Keeps.init_state: expected an object of Count, as needs.state says; found dict"),
        (Keeps, "update_state", None, "Keeps.update_state: expected an object of Count, .* found NoneType"),
        (Faulty, "init_state", Count(), "Faulty.init_state: expected None, as is needs.state; found Count"),
    ],
)
def test_a_state_is_of_the_class_that_the_method_names(policy, kind, function, returned, said):
    groups = run_fixtures.fixed_groups(policy, ["film"])
    with pytest.raises(ValueError, match=said):
        run_fixtures.trainer_of(kind(function=function, returns=lambda _: returned), policy, groups).step()


@pytest.mark.parametrize(
    ("tensors", "again", "said"),
    [
        ({"n": 1.0}, Count(), r"Bad.to_tensors: n: expected a tensor, found float; write torch.tensor\(...\)"),
        (None, Count(), "Bad.to_tensors: expected tensors by name, found NoneType"),
        ({}, None, "Bad.from_tensors: expected a Bad, found NoneType"),
    ],
)
def test_a_state_that_no_checkpoint_could_hold_is_refused_at_the_start(tensors, again, said):
    class Bad(Count):
        def to_tensors(self):
            return tensors

        @classmethod
        def from_tensors(cls, _):
            return again

    with type_checks.off(), pytest.raises(ValueError, match=said):
        check_round_trip(Bad())


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ({"source": "human"}, "needs.source: expected 'policy' or 'demonstrations', found 'human'"),
        ({"rewards": "accuracy"}, "needs.rewards: expected a tuple of names"),
        ({"reference": "frozen"}, "needs.reference: expected Frozen"),
        ({"full_vocabulary_kl": "forward"}, "needs.full_vocabulary_kl: expected one of"),
        ({"full_vocabulary_kl": "kl_policy_reference"}, "needs.reference: expected one, as full_vocabulary_kl is given"),
        ({"max_gen_batches": 0}, "needs.max_gen_batches: expected 1 or more"),
        ({"state": dict}, "needs.state: expected a class that inherits from mmrl.State"),
        ({"state": Count()}, "needs.state: expected a class"),
        ({"proposal": 10}, "needs.proposal: expected AdaptiveProposal"),
        ({"proposal": AdaptiveProposal()}, "needs.state: expected one, as the trainer asks sync_proposal"),
    ],
)  # fmt: skip
def test_a_need_of_another_type_is_refused_where_it_is_written(needs, said):
    made = Needs()  # the tests check the types of arguments at every call; a user's process does not
    for name, value in needs.items():
        object.__setattr__(made, name, value)
    with pytest.raises(ValueError, match=said):
        made.__post_init__()
