"""DAPO, GSPO, CISPO and Dr. GRPO: numbers worked from the papers' formulas, and where they are one method."""

import math
from dataclasses import asdict, replace

import pytest
import torch

from mmrl.algorithms import CARE, CISPO, DAPO, GRPO, GSPO, RLOO, SFT, DrGRPO, KLInReward
from mmrl.functional.policy_gradient import (
    clipped_surrogate,
    group_advantages,
    loss_weights,
    overlong_penalty,
    sequence_ratio,
)
from mmrl.types import LossNormalisers, Tokens, TokenWeights
from tests import type_checks
from tests.algorithms.factories import scored

LENGTHS = [2, 5, 3]
REWARD = [1.0, 0, 1]


def group():
    """Three completions of 3, 6 and 4 tokens with rewards 2, 1 and 2."""
    return scored(REWARD, [1, 1, 1], [0.5] * 3, lengths=LENGTHS)


def moved(s, by):
    """A policy whose log-probabilities are ``by`` above the sampler's."""
    logprobs = (s.group.sampling_logprobs + torch.as_tensor(by, dtype=torch.float64)) * s.group.completion_mask
    return Tokens(logprobs.requires_grad_(), torch.zeros_like(logprobs))


def totals(s):
    return LossNormalisers(1, len(s.group), int(s.group.completion_mask.sum()))


def step(algorithm, s, policy):
    """The value of the step's loss and its gradient with respect to the tokens' log-probabilities."""
    weights = algorithm.token_weights(s, totals(s))
    loss = (algorithm.loss(policy, weights, s) * weights.loss_weight).sum()
    return loss.detach(), torch.autograd.grad(loss, policy.logprobs)[0]


def close(got, expected, atol=1e-12):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(got, expected.expand_as(got), atol=atol, rtol=0)


ADVANTAGE = torch.tensor([1, -2, 1], dtype=torch.float64) / 3 / (math.sqrt(1 / 3) + 1e-4)  # std of 2, 1, 2 is sqrt(1/3)


def test_dapo_lets_rare_tokens_grow_further_than_it_lets_others_shrink():
    """Ratio 1.25 is inside (0.8, 1.28), 1.3 is cut to 1.28; eq. 8 with eps_low 0.2, eps_high 0.28."""
    s = group()
    for ratio, gain in ((1.25, 1.25), (1.3, 1.28)):
        loss, gradient = step(DAPO(), s, moved(s, math.log(ratio)))
        tokens = s.group.completion_mask.sum(dim=1).double()
        value = (tokens * torch.tensor([gain, ratio, gain], dtype=torch.float64) * ADVANTAGE).sum() / 13
        close(loss, -value)
        silent = (gradient == 0) | ~s.group.completion_mask
        assert silent[0].all() == (ratio > 1.28)
        assert not silent[1][s.group.completion_mask[1]].any()  # a loss has no upper bound


def test_every_token_of_a_step_counts_alike_in_dapo_and_every_completion_in_grpo():
    s = group()
    _, by_token = step(DAPO(), s, moved(s, 0.0))
    _, by_sequence = step(GRPO(beta=0), s, moved(s, 0.0))
    close(by_token[s.group.completion_mask], -(ADVANTAGE[:, None].expand_as(by_token)[s.group.completion_mask]) / 13)
    lengths = s.group.completion_mask.sum(dim=1, keepdim=True)
    close(
        by_sequence[s.group.completion_mask],
        -(ADVANTAGE[:, None] / lengths / 3).expand_as(by_sequence)[s.group.completion_mask],
    )


def test_overlong_costs_nothing_then_a_slope_then_one():
    """Eq. 13 with L_max 20 and L_cache 8: -(T - 12) / 8 between 12 and 20."""
    got = overlong_penalty(torch.tensor([1.0, 12, 14, 16, 20, 25]), limit=20, buffer=8)
    assert got.tolist() == [0, 0, -0.25, -0.5, -1, -1]


def test_dapos_length_costs_before_rewards_are_compared():
    s = group()  # 3, 6 and 4 tokens; limit 6, buffer 4: 0.25, 1 and 0.5 less
    s = replace(s, group=replace(s.group, max_new_tokens=6))
    got = DAPO(overlong_buffer=4).token_weights(s, totals(s)).advantage[:, 0]
    reward = torch.tensor([1.75, 0, 1.5], dtype=torch.float64)
    close(got, (reward - reward.mean()) / (reward.std() + 1e-4))


def test_dapo_wants_groups_that_are_right_and_wrong():
    useful = [
        DAPO().keep_group(group().group, {"accuracy": torch.tensor(accuracy)})
        for accuracy in ([1.0, 1, 1], [0.0, 0, 0], [1.0, 0, 0], [0.2, 0.2, 0.2])
    ]
    assert useful == [False, False, True, False]


def test_gspo_compares_whole_completions_by_the_geometric_mean_of_their_tokens():
    """Eq. 5-7: the gradient of min(s A, clip(s) A) / G with s = exp(mean_t log ratio), by autograd of the formula itself."""
    s = group()
    by = (
        torch.randn(s.group.completion_mask.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        * 3e-4
    )
    by[0, :3] = 2e-4  # inside the bounds, as the others may be outside
    loss, gradient = step(GSPO(), s, policy := moved(s, by))
    mask = s.group.completion_mask
    ratio = (((policy.logprobs - s.group.sampling_logprobs) * mask).sum(dim=1) / mask.sum(dim=1)).exp()
    gain = torch.minimum(ratio * ADVANTAGE, ratio.clamp(1 - 3e-4, 1 + 4e-4) * ADVANTAGE).mean()
    close(loss, -gain.detach())
    close(gradient, -torch.autograd.grad(gain, policy.logprobs)[0])
    assert gradient[0].norm() > 0


def test_a_completion_beyond_gspos_bounds_is_silent_as_a_whole():
    s = group()
    _, gradient = step(GSPO(), s, moved(s, 5e-4))
    assert not gradient[0].any()
    assert not gradient[2].any()
    assert gradient[1][s.group.completion_mask[1]].all()


def test_the_ratio_of_a_sequence_is_the_product_and_its_gradient_the_sum_of_scores():
    s = group()
    policy = moved(s, 0.1)
    got = sequence_ratio(policy.logprobs, s.group.sampling_logprobs, s.group.completion_mask)
    close(
        got[s.group.completion_mask].detach(),
        (0.1 * s.group.completion_mask.sum(dim=1).double()).exp()[:, None].expand_as(got)[s.group.completion_mask],
    )
    spread = (got / s.group.completion_mask.sum(dim=1, keepdim=True) * s.group.completion_mask).sum()
    scores = torch.autograd.grad(got.mul(s.group.completion_mask).sum(), policy.logprobs, retain_graph=True)[0]
    whole = ((policy.logprobs - s.group.sampling_logprobs) * s.group.completion_mask).sum(dim=1).exp().sum()
    close(spread.detach(), whole.detach())
    close(scores, torch.autograd.grad(whole, policy.logprobs)[0])


def test_cispo_cuts_weights_and_silences_nobody():
    """Eq. 4-5: the gradient at a token is -min(ratio, 1 + high) A / tokens; ratios 8 and 2, bound 5."""
    s = group()
    for ratio, weight in ((8.0, 5.0), (2.0, 2.0), (0.01, 0.01)):
        _, gradient = step(CISPO(), s, moved(s, math.log(ratio)))
        close(
            gradient[s.group.completion_mask],
            -(weight * ADVANTAGE[:, None] / 13).expand_as(gradient)[s.group.completion_mask],
        )
    _, gradient = step(CISPO(epsilon=0.5), s, moved(s, math.log(0.01)))
    close(
        gradient[s.group.completion_mask], -(0.5 * ADVANTAGE[:, None] / 13).expand_as(gradient)[s.group.completion_mask]
    )


def test_dr_grpo_divides_neither_by_length_nor_by_spread():
    """R - mean R for each token, over completions x length."""
    s = group()
    algorithm = DrGRPO(loss_scale_factor=20.0)
    same = GRPO(
        beta=0.0, baseline="group_mean", loss_agg_mode="seq-mean-token-sum-norm", loss_scale_factor=20.0, reference=None
    )
    assert asdict(algorithm) == asdict(same) | {"name": "dr_grpo"}
    _, gradient = step(algorithm, s, moved(s, 0.0))
    centred = torch.tensor([1, -2, 1], dtype=torch.float64) / 3
    close(gradient[s.group.completion_mask], -(centred[:, None] / 60).expand_as(gradient)[s.group.completion_mask])


def test_where_the_policy_sampled_itself_all_ratios_are_one_method():
    """On-policy, GSPO is GRPO, and DAPO without lengths is CISPO."""
    s = group()
    close(step(GSPO(), s, moved(s, 0.0))[1], step(GRPO(beta=0), s, moved(s, 0.0))[1])
    close(step(DAPO(), s, moved(s, 0.0))[1], step(CISPO(), s, moved(s, 0.0))[1])


def test_a_symmetric_clip_is_the_same_bound_twice():
    ratio, worth = torch.tensor([[0.5, 1.5]]), torch.tensor([[-1.0, 1.0]])
    assert torch.equal(clipped_surrogate(ratio, worth, 0.2), clipped_surrogate(ratio, worth, 0.2, 0.2))
    assert clipped_surrogate(ratio, worth, 0.2, 0.4).tolist() == [[-0.800000011920929, 1.399999976158142]]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DAPO(epsilon=1.5), r"algorithm\.epsilon: expected a number in \(0, 1\)"),
        (lambda: DAPO(epsilon_high=0.0), "algorithm.epsilon_high: expected a number above 0"),
        (lambda: DAPO(max_gen_batches=0), "algorithm.max_gen_batches: expected a number above 0"),
        (lambda: DAPO(overlong_buffer=0), "algorithm.overlong_buffer: expected a number above 0"),
        (lambda: GSPO(epsilon_high=-1.0), "algorithm.epsilon_high: expected a number above 0"),
        (lambda: CISPO(epsilon=0.0), r"algorithm\.epsilon: expected a number in \(0, 1\]"),
    ],
)
def test_bounds_that_mean_nothing_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize("algorithm", [DAPO(), GSPO(), CISPO()])
def test_somebody_elses_completions_have_no_ratio(algorithm):
    s = group()
    policy, weights = moved(s, 0.0), algorithm.token_weights(s, totals(s))
    foreign = s.rows(slice(None))
    object.__setattr__(foreign.group, "sampling_logprobs", None)
    with pytest.raises(ValueError, match="needs the log-probabilities of the sampler"):
        algorithm.loss(policy, weights, foreign)


CLIPPING = [
    GRPO(beta=0, epsilon=0.2),
    CARE(epsilon=0.2),
    DAPO(),
    GSPO(),
    KLInReward(beta=0, reference=None, ratio="token", epsilon=0.2),
]


@pytest.mark.parametrize("algorithm", CLIPPING, ids=lambda algorithm: algorithm.name)
def test_clipped_tokens_are_those_without_a_gradient(algorithm):
    """Whatever the method: a token with an advantage has no gradient if, and only if, it counts as clipped."""
    s = group()
    by = torch.linspace(-0.4, 0.4, s.group.completion_mask.numel(), dtype=torch.float64)
    policy = moved(s, by[torch.randperm(len(by), generator=torch.Generator().manual_seed(0))].view(3, -1))
    _, gradient = step(algorithm, s, policy)
    low, high = algorithm.clipped(policy, algorithm.token_weights(s, totals(s)), s)
    mask = s.group.completion_mask
    assert torch.equal((low | high)[mask], (gradient == 0)[mask])
    assert low[mask].any() or high[mask].any()
    assert not (low & high).any()


def test_cispo_clips_weights_and_keeps_their_gradients():
    s = group()
    policy = moved(s, torch.tensor([[math.log(6)], [0.0], [math.log(0.5)]], dtype=torch.float64))
    algorithm = CISPO(epsilon=0.4)
    low, high = algorithm.clipped(policy, algorithm.token_weights(s, totals(s)), s)
    mask = s.group.completion_mask
    assert [bool(high[0][mask[0]].all()), bool(low[2][mask[2]].all()), bool((low | high)[1][mask[1]].any())] == [
        True,
        True,
        False,
    ]
    assert (step(algorithm, s, policy)[1][mask] != 0).all()


@pytest.mark.parametrize("algorithm", [GRPO(beta=0), CARE(), RLOO(), SFT()], ids=lambda algorithm: algorithm.name)
def test_what_clips_nothing_says_so(algorithm):
    s = group()
    policy = moved(s, 0.1)
    assert algorithm.clipped(policy, TokenWeights(*(torch.ones_like(policy.logprobs),) * 3), s) is None


def test_a_name_that_is_none_is_refused():
    with type_checks.off():
        with pytest.raises(ValueError, match=r"baseline: expected one of leave_one_out, .* found 'mean'"):
            group_advantages(torch.ones(2), "mean")
        with pytest.raises(ValueError, match=r"loss_agg_mode: expected one of .* found 'tokens'"):
            loss_weights(torch.ones(1, 2, dtype=torch.bool), LossNormalisers(1, 1, 2), "tokens", torch.float32)
        with pytest.raises(ValueError, match=r"reward: expected the rewards \[g\] of one group, found \[2, 4\]"):
            group_advantages(torch.ones(2, 4))


def test_an_update_without_tokens_has_no_weight_that_is_no_number():
    assert not loss_weights(
        torch.zeros(2, 3, dtype=torch.bool), LossNormalisers(1, 2, 0), "token-mean", torch.float32
    ).any()
