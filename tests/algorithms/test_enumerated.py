"""The enumerable models are distributions, and a known gradient comes out of them."""

import pytest
import torch

from mmrl.algorithms import GRPO
from tests.algorithms.enumerated import categorical, expected_gradient, gradient, groups, sequences


@pytest.mark.parametrize(("outcomes", "count"), [(categorical(5), 5), (sequences(), 40), (sequences(2, 4), 31)])
def test_probabilities_of_all_outcomes_add_up_to_one(outcomes, count):
    assert len(outcomes) == count
    total = outcomes.log_prob(outcomes.logits(0)).exp().sum()
    torch.testing.assert_close(total, torch.ones((), dtype=torch.float64), atol=1e-14, rtol=0)


def test_the_table_for_three_tokens_has_thirteen_prefixes():
    assert sequences().prefixes == 13


def test_every_group_is_counted_as_often_as_it_can_be_drawn():
    assert sum(orders for _, orders in groups(4, 4)) == 4**4


def test_centred_rewards_give_the_policy_gradient_shrunk_by_one_sample():
    # the mean contains the sample itself, so (G - 1) / G of grad E[r] is left
    outcomes, reward = categorical(4), torch.tensor([-1.0, 0.5, 2, 0], dtype=torch.float64)
    logits, plain = outcomes.logits(1), GRPO(beta=0, baseline="group_mean", reference=None)
    got = expected_gradient(plain, outcomes, logits, 3, {"total": reward})
    expected = gradient(lambda x: outcomes.log_prob(x).exp() @ reward, logits)
    torch.testing.assert_close(got, -2 / 3 * expected, atol=1e-12, rtol=0)
