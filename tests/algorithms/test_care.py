"""GRPO-CARE: the vectors worked by hand in facts/care.md 1.5, and laws."""

import pytest
import torch

from mmrl.algorithms import CARE, GRPO
from mmrl.types import LossNormalisers, Tokens
from tests.algorithms.factories import scored

CASES = {
    "mixed": (
        [1, 1, 1, 1, 0, 0, 0, 0], [0.99, 0.90, 0.60, 0.30, 0.99, 0.2, 0.1, 0.5], [1] * 8, 0,
        [0.5, 0.5, 0, 0, 0, 0, 0, 0], [1.260, 1.260, 0.540, 0.540, -0.900, -0.900, -0.900, -0.900],
    ),
    "all correct, one doubtful": (
        [1] * 8, [0.99, 0.97, 0.96, 0.95, 0.95, 0.94, 0.50, 0.99], [1] * 8, 0.01,
        [0.5] * 6 + [0, 0.5], [0.3534] * 6 + [-2.4735, 0.3534],
    ),
    "none correct, one bad format": (
        [0] * 8, [0.5] * 8, [1, 1, 1, 0, 1, 1, 1, 1], 0, [0] * 8, [0.3535] * 3 + [-2.4742] + [0.3535] * 4,
    ),
    "soft rewards": (
        [0.9, 0.5, 0.2, 0.05, 0, 0, 0, 0], [0.3, 0.8, 0.9, 0.9, 0.5, 0.5, 0.5, 0.5], [1] * 8, 0,
        [0, 0.25, 0, 0, 0, 0, 0, 0], [1.785, 1.381, -0.101, -0.505, -0.640, -0.640, -0.640, -0.640],
    ),
    "margin saves a near tie": (
        [1, 1, 0, 0, 0, 0, 0, 0], [0.80, 0.81] + [0.5] * 6, [1] * 8, 0.01,
        [0.5, 0.5] + [0] * 6, [1.620] * 2 + [-0.540] * 6,
    ),
    "all correct, all capped": ([1] * 8, [0.99] * 8, [1] * 8, 0, [0.5] * 8, [0] * 8),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_worked_vectors(name):
    accuracy, likelihood, form, margin, bonus, advantage = CASES[name]
    s = scored(accuracy, form, likelihood)
    care = CARE(margin=margin)
    torch.testing.assert_close(care.bonuses(s), torch.tensor(bonus, dtype=torch.float64))
    worth = care.token_weights(s, LossNormalisers(1, 8, int(s.group.completion_mask.sum()))).advantage
    torch.testing.assert_close(worth[:, 0], torch.tensor(advantage, dtype=torch.float64), atol=6e-4, rtol=0)


def test_the_margin_is_what_saves_the_tie():
    s = scored([1, 1, 0], [1] * 3, [0.80, 0.81, 0.5])
    assert CARE(margin=0).bonuses(s).tolist() == [0, 0.5, 0]


def test_likelihoods_are_geometric_as_released_or_arithmetic_as_printed():
    s = scored([1, 1], [1, 1], [[0.9, 0.4], [0.6, 0.6]])  # means: 0.6 and 0.6 geometric, 0.65 and 0.6 arithmetic
    torch.testing.assert_close(CARE().likelihoods(s), torch.tensor([0.6, 0.6], dtype=torch.float64))
    torch.testing.assert_close(
        CARE(likelihood="arithmetic").likelihoods(s), torch.tensor([0.65, 0.6], dtype=torch.float64)
    )
    assert CARE().bonuses(s).tolist() == [0.5, 0.5]
    assert CARE(likelihood="arithmetic").bonuses(s).tolist() == [0.5, 0]


def test_an_answer_that_cannot_be_found_is_not_eligible():
    s = scored([1, 1, 1], [1] * 3, [0.9, 0.9, 0.9])
    s.group.answer_mask[1] = False
    assert CARE().bonuses(s).tolist() == [0.5, 0, 0.5]


def test_equal_soft_rewards_are_all_accurate_whatever_rounding_does():
    for value in torch.linspace(0.11, 1, 200):
        s = scored([float(value)] * 8, [1] * 8, [0.5] * 8, dtype=torch.float32)
        assert (CARE().bonuses(s) > 0).all()


def test_the_reference_reads_the_answers_of_rows_that_can_earn_the_bonus():
    s = scored([1, 1, 0, 0.05], [1] * 4, [0.5] * 4)
    where = CARE().reference_mask(s.group, s.rewards)
    assert torch.equal(where, s.group.answer_mask & torch.tensor([True, True, False, False])[:, None])


def test_without_bonus_care_is_grpo_without_divergence():
    s = scored([1, 0, 0.4], [1, 1, 0], [0.5, 0.9, 0.2])
    totals = LossNormalisers(2, 6, 30)
    one, two = CARE(bonus=0).token_weights(s, totals), GRPO(beta=0, reference=None).token_weights(s, totals)
    assert torch.equal(one.advantage, two.advantage)
    assert torch.equal(one.loss_weight, two.loss_weight)


def test_the_gradient_is_that_of_worth_times_log_probability():
    s = scored([1, 0, 1], [1, 1, 1], [0.5, 0.9, 0.2])
    weights = CARE().token_weights(s, LossNormalisers(1, 3, int(s.group.completion_mask.sum())))
    logprobs = torch.randn(s.group.completion_mask.shape, dtype=torch.float64).requires_grad_()
    (CARE().loss(Tokens(logprobs, logprobs.detach()), weights, s) * weights.loss_weight).sum().backward()
    torch.testing.assert_close(logprobs.grad, -weights.advantage * weights.loss_weight)


@pytest.mark.parametrize("field", [{"max_likelihood": 0.0}, {"bonus": -1.0}, {"margin": -0.1}, {"epsilon": 1.5}])
def test_meaningless_settings_are_refused(field):
    with pytest.raises(ValueError, match="algorithm"):
        CARE(**field)


def test_a_dense_bonus_is_as_large_as_the_likelihood():
    """DenseCons: bonus x accuracy x likelihood, the right ones alone."""
    s = scored([1, 0.5, 0, 1], [1] * 4, [0.9, 0.4, 0.8, 0.99])
    expected = torch.tensor([0.45, 0.1, 0, 0.475], dtype=torch.float64)
    care = CARE(consistency="dense")
    torch.testing.assert_close(care.bonuses(s), expected)
    assert torch.equal(
        care.reference_mask(s.group, s.rewards), s.group.answer_mask & torch.tensor([1, 1, 0, 1]).bool()[:, None]
    )


def test_a_divergence_beside_the_bonus_is_grpos():
    s = scored([1, 0, 1], [1, 1, 1], [0.9, 0.5, 0.2])
    policy = Tokens(torch.full_like(s.ref_logprobs, -0.3) * s.group.completion_mask, torch.zeros_like(s.ref_logprobs))
    totals = LossNormalisers(1, 3, int(s.group.completion_mask.sum()))
    care, grpo = CARE(beta=0.1, bonus=0), GRPO(beta=0.1)
    assert torch.equal(care.reference_mask(s.group, s.rewards), s.group.completion_mask)
    credits = care.token_weights(s, totals), grpo.token_weights(s, totals)
    torch.testing.assert_close(care.loss(policy, credits[0], s), grpo.loss(policy, credits[1], s))
