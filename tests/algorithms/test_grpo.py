"""GRPO and SFT: numbers worked by hand and laws."""

import math

import pytest
import torch

from mmrl.algorithms import GRPO, SFT
from mmrl.functional.policy_gradient import clipped_surrogate, k3, loss_weights, standardised
from mmrl.types import LossNormalisers, Tokens
from tests.algorithms.factories import scored


def tokens(s, seed=1):
    logprobs = torch.randn(
        s.group.completion_mask.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    return Tokens((logprobs * s.group.completion_mask).requires_grad_(), torch.zeros_like(logprobs))


def test_advantages_by_hand():
    # rewards 2, 1, 1, 0: mean 1, unbiased std sqrt(2/3)
    got = standardised(torch.tensor([2.0, 1, 1, 0], dtype=torch.float64))
    scale = 1 / (math.sqrt(2 / 3) + 1e-4)
    torch.testing.assert_close(got, torch.tensor([scale, 0, 0, -scale], dtype=torch.float64))


def test_equal_rewards_are_worth_exactly_nothing():
    for value in torch.linspace(0.1, 3, 300):
        assert not standardised(value.repeat(8)).any()


def test_a_group_of_one_has_no_baseline():
    with pytest.raises(ValueError, match="2 or more"):
        standardised(torch.ones(1))


def test_loss_weights_of_an_update_add_up_to_one():
    masks = [scored([1] * g, [1] * g, [0.5] * g).group.completion_mask for g in (2, 5, 3)]
    totals = LossNormalisers(3, 10, sum(int(m.sum()) for m in masks))
    for mode in ("seq-mean-token-mean", "token-mean"):
        total = sum(loss_weights(m, totals, mode, torch.float64).sum() for m in masks)
        torch.testing.assert_close(total, torch.tensor(1.0, dtype=torch.float64))


def test_the_loss_by_hand():
    s = scored(
        [1, 0], [1, 1], [0.5, 0.5], lengths=[1, 2]
    )  # 2 and 3 tokens; rewards 2 and 1: +-0.5 / (sqrt(0.5) + 1e-4)
    grpo = GRPO(beta=0.1)
    weights = grpo.token_weights(s, LossNormalisers(1, 2, 5))
    policy = tokens(s)
    loss = (grpo.loss(policy, weights, s) * weights.loss_weight).sum()
    a = 0.5 / (math.sqrt(0.5) + 1e-4)
    divergence = k3(policy.logprobs.detach(), s.ref_logprobs)
    expected = -(a - a) / 2 + 0.1 * (divergence[0, :2].mean() + divergence[1].mean()) / 2
    torch.testing.assert_close(loss.detach(), expected, atol=1e-12, rtol=1e-12)


def test_k3_is_never_negative_zero_at_equality_and_cut():
    logprobs = torch.tensor([0.0, -1.0, -30.0, -1e-9], dtype=torch.float64)
    got = k3(logprobs[None], torch.zeros(1, 4, dtype=torch.float64))[0]
    expected = [0.0, math.e - 2, math.exp(10) - 11, 5e-19]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), atol=1e-15, rtol=1e-12)
    assert (got >= 0).all()


def test_without_divergence_no_reference_is_read():
    s = scored([1, 0], [1, 1], [0.5, 0.5])
    assert GRPO(beta=0).reference_mask(s.group, s.rewards) is None
    assert torch.equal(GRPO(beta=0.1).reference_mask(s.group, s.rewards), s.group.completion_mask)


def test_clipping_bounds_gains_and_not_losses():
    ratio = torch.tensor([[0.5, 1.0, 1.5, 0.5, 1.5]])
    worth = torch.tensor([[1.0, 1.0, 1.0, -1.0, -1.0]])
    assert clipped_surrogate(ratio, worth, 0.2).tolist() == [[0.5, 1.0, 1.2000000476837158, -0.800000011920929, -1.5]]


def test_the_clipped_ratio_is_to_the_sampler_and_the_unclipped_to_the_policy_as_it_is():
    s = scored([1, 0], [1, 1], [0.5, 0.5])
    totals, policy = LossNormalisers(1, 2, int(s.group.completion_mask.sum())), tokens(s)
    free, bound = GRPO(beta=0), GRPO(beta=0, epsilon=0.2)
    weights = free.token_weights(s, totals)
    torch.testing.assert_close(free.loss(policy, weights, s), -weights.advantage)
    ratio = (policy.logprobs - s.group.sampling_logprobs).exp()
    torch.testing.assert_close(bound.loss(policy, weights, s), -clipped_surrogate(ratio, weights.advantage, 0.2))


def test_sft_is_the_mean_negative_log_likelihood():
    s = scored([1, 1], [1, 1], [0.5, 0.5])
    policy, count = tokens(s), int(s.group.completion_mask.sum())
    weights = SFT().token_weights(s, LossNormalisers(1, 2, count))
    loss = (SFT().loss(policy, weights, s) * weights.loss_weight).sum()
    torch.testing.assert_close(loss, -policy.logprobs.sum() / count)


def test_a_divergence_without_reference_is_refused():
    with pytest.raises(ValueError, match=r"algorithm.reference"):
        GRPO(beta=0.1, reference=None)


def test_the_divergence_of_accurate_rows_alone():
    """KL-EMA-HA: rows with accuracy above 0.1 and no less than the mean."""
    s = scored([1, 0.05, 0.6, 0], [1] * 4, [0.5] * 4)
    grpo = GRPO(beta=0.1, kl_on="correct")
    right = torch.tensor([True, False, True, False])[:, None]
    assert grpo.needs.rewards == ("accuracy",)
    assert torch.equal(grpo.reference_mask(s.group, s.rewards), s.group.completion_mask & right)
    weights = grpo.token_weights(s, LossNormalisers(1, 4, int(s.group.completion_mask.sum())))
    assert torch.equal(weights.kl_weight > 0, s.group.completion_mask & right)
    assert torch.equal(weights.advantage != 0, s.group.completion_mask)


def test_reasoning_and_answer_have_a_mean_each():
    """SepKL: 3 and 4 reasoning tokens and one answer token; the mean over each, added, whatever their numbers."""
    s = scored([1, 0], [1, 1], [0.5, 0.5], lengths=[3, 4])
    grpo = GRPO(beta=1.0, kl_mean="separate")
    weights = grpo.token_weights(s, LossNormalisers(1, 2, 9))
    divergence = torch.rand(
        s.group.completion_mask.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    got = (weights.kl_weight * weights.loss_weight * divergence).sum()
    expected = (divergence[0, :3].mean() + divergence[0, 3] + divergence[1, :4].mean() + divergence[1, 4]) / 2
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=0)
