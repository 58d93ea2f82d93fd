"""The bonus of GRPO-CARE from plain tensors: its equation by hand, what it ignores, and that the algorithm pays this very bonus."""

import math

import pytest
import torch

import mmrl
from mmrl.algorithms import CARE
from mmrl.functional.care import care_bonus
from tests import run_fixtures, tiny_models, type_checks

LOGPROBS = torch.log(torch.tensor([[0.3, 0.8, 0.5], [0.3, 0.2, 0.2], [0.9, 0.99, 0.99], [0.9, 0.5, 0.5]]))
ANSWER = torch.tensor([[False, True, True]] * 4)
ACCURACY = torch.tensor([1.0, 1.0, 1.0, 0.0])


def test_the_likelier_of_the_right_ones_earn_it():
    likelihoods = [math.sqrt(0.8 * 0.5), 0.2, 0.95]  # the third is cut
    assert likelihoods[0] > sum(likelihoods) / 3 > likelihoods[1]
    assert care_bonus(LOGPROBS, ANSWER, ACCURACY).tolist() == [0.5, 0.0, 0.5, 0.0]


def test_dense_pays_the_likelihood():
    found = care_bonus(LOGPROBS, ANSWER, torch.tensor([1.0, 0.5, 1.0, 0.0]), bonus=2.0, consistency="dense")
    torch.testing.assert_close(found, torch.tensor([2 * math.sqrt(0.4), 0.2, 1.9, 0.0]))


def test_each_option_does_what_it_says():
    assert care_bonus(LOGPROBS, ANSWER, ACCURACY, margin=0.6).tolist() == [0.5, 0.5, 0.5, 0.0]
    assert care_bonus(LOGPROBS, ANSWER, ACCURACY, max_likelihood=0.1).tolist() == [0.5, 0.5, 0.5, 0.0]
    assert care_bonus(LOGPROBS, ANSWER, ACCURACY, accuracy_threshold=1.0).tolist() == [0.0] * 4
    dense = care_bonus(LOGPROBS, ANSWER, ACCURACY, consistency="dense", likelihood="arithmetic")
    torch.testing.assert_close(dense, 0.5 * torch.tensor([0.65, 0.2, 0.95, 0.0]))


def test_what_stands_off_the_answer_is_of_no_account():
    for anything in (-math.inf, math.nan, 3.0):
        other = LOGPROBS.masked_fill(~ANSWER, anything)
        assert care_bonus(other, ANSWER, ACCURACY).tolist() == [0.5, 0.0, 0.5, 0.0]


def test_without_an_answer_or_a_right_one_there_is_none():
    assert care_bonus(LOGPROBS, torch.zeros_like(ANSWER), ACCURACY).tolist() == [0.0] * 4
    assert care_bonus(LOGPROBS, ANSWER, torch.zeros(4)).tolist() == [0.0] * 4


@pytest.mark.parametrize("consistency", ["relative", "dense"])
@pytest.mark.parametrize("likelihood", ["geometric", "arithmetic"])
def test_the_algorithm_pays_this_bonus(consistency, likelihood):
    policy = tiny_models.policy()
    trainer = run_fixtures.trainer_of(
        CARE(consistency=consistency, likelihood=likelihood), policy, run_fixtures.fixed_groups(policy)
    )
    for scored in trainer.collect():
        options = dict(consistency=consistency, likelihood=likelihood)
        own = mmrl.care_bonus(scored.ref_logprobs, scored.group.answer_mask, scored.rewards["accuracy"], **options)
        assert torch.equal(trainer.algorithm.bonuses(scored), own)


@pytest.mark.parametrize(
    ("mask", "accuracy", "said"),
    [
        (torch.ones(3, 4, dtype=torch.bool), torch.ones(1), r"care_bonus: accuracy: expected a tensor \[g\] of shape \[3\], found \[1\]"),
        (torch.ones(1, 4, dtype=torch.bool), torch.ones(3), r"care_bonus: answer_mask: expected .* \[3, 4\], found \[1, 4\]"),
        (torch.ones(3, 4), torch.ones(3), r"care_bonus: answer_mask: expected booleans, found torch.float32"),
    ],
)  # fmt: skip
def test_other_shapes_are_not_broadcast(mask, accuracy, said):
    with type_checks.off(), pytest.raises(ValueError, match=said):
        care_bonus(torch.zeros(3, 4), mask, accuracy)
