"""Targets: the posterior under a reward, filters, products, uncertainty; and what is refused by name."""

import math

import pytest
import torch

from mmrl.functional.targets import Cautious, Constraint, Ensemble, Exponential, Tilt, bounds, log_weight

R = torch.tensor([0.0, 1.0, 0.5, 1.0], dtype=torch.float64)
V = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
REWARDS = {"total": R, "accuracy": V}
PRIOR = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)


def target(*factors, rewards=REWARDS):
    return (PRIOR.log() + log_weight(factors, rewards)).softmax(dim=0)


def test_the_posterior_by_hand():
    expected = PRIOR * torch.tensor([1, math.e**2, math.e, math.e**2], dtype=torch.float64)
    torch.testing.assert_close(target(Tilt(0.5)), expected / expected.sum())


def test_the_optimum_of_regularised_reward_is_the_posterior_and_the_bound_holds():
    # J(pi) = E[r] - beta KL(pi || pi0) = beta log Z - beta KL(pi || p*)
    beta, p = 0.3, target(Tilt(0.3))
    log_z = (PRIOR.log() + R / beta).logsumexp(dim=0)
    logits = torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def objective(pi):
        return (pi * (R - beta * (pi / PRIOR).log())).sum()

    pi = logits.softmax(dim=0)
    torch.testing.assert_close(objective(pi), beta * log_z - beta * (pi * (pi / p).log()).sum())
    at = p.log().requires_grad_()
    best = objective(at.softmax(dim=0))
    torch.testing.assert_close(best, beta * log_z)
    assert torch.autograd.grad(best, at)[0].abs().max() < 1e-12


def test_reward_scale_and_shift_leave_the_target():
    moved = {"total": 7 * R - 3}
    torch.testing.assert_close(target(Tilt(7 * 0.4), rewards=moved), target(Tilt(0.4)), atol=1e-12, rtol=1e-12)


def test_a_constraint_is_the_limit_of_a_tilt():
    near = target(Tilt(0.02, reward="accuracy"))
    assert (near - target(Constraint())).abs().sum() < 1e-12
    assert target(Constraint()).tolist() == pytest.approx([0, 0.6, 0.4, 0])


def test_a_floor_is_a_tilt_by_its_logarithm():
    beta = -1 / math.log(0.01)
    torch.testing.assert_close(target(Constraint(floor=0.01)), target(Tilt(beta, reward="accuracy")))
    assert not Constraint(floor=0.01).has_zero_support
    assert Constraint().has_zero_support


def test_products_add_in_log_space():
    both = target(Constraint(), Exponential({"total": 2.0}))
    expected = PRIOR * V * (2 * R).exp()
    torch.testing.assert_close(both, expected / expected.sum())
    assert bounds((Constraint(), Tilt(0.5, low=0, high=1))) == (-math.inf, 2.0)
    assert bounds((Constraint(), Tilt(0.5))) is None


def test_uncertain_praise_moves_less():
    rewards = {"a": torch.tensor([1.0, 1.0]), "b": torch.tensor([1.0, 0.0]), "s": torch.tensor([0.1, 0.2])}
    # mean 1 and 1/2, unbiased std 0 and sqrt(1/2)
    got = Cautious(("a", "b"), beta=0.5, k=2.0).log_weight(rewards)
    torch.testing.assert_close(got, torch.tensor([2.0, 1 - 4 * math.sqrt(0.5)]))
    got = Cautious(("a",), beta=0.5, k=2.0, deviation="s").log_weight(rewards)
    torch.testing.assert_close(got, torch.tensor([1.6, 1.2]))


def test_an_ensemble_averages_the_odds_and_not_the_rewards():
    rewards = {"a": torch.tensor([1.0, 400.0]), "b": torch.tensor([1.0, 0.0])}
    got = Ensemble(("a", "b"), beta=0.1).log_weight(rewards)
    torch.testing.assert_close(got, torch.tensor([10.0, 4000 - math.log(2)]))
    torch.testing.assert_close(Ensemble(("a",), 0.1).log_weight(rewards), Tilt(0.1, "a").log_weight(rewards))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Tilt(0.0), r"tilt.beta: expected a finite number above 0, found 0.0; for the limit of 0 use a constraint"),
        (lambda: Tilt(-1.0), r"tilt.beta"),
        (lambda: Tilt(math.nan), r"tilt.beta"),
        (lambda: Cautious(("a", "b"), beta=0.0), r"cautious.beta"),
        (lambda: Ensemble(("a", "b"), beta=0.0), r"ensemble.beta"),
        (lambda: Tilt(1.0, low=0.0), r"both low and high"),
        (lambda: Cautious(("a",)), r"two or more members, or one and the name of its deviation"),
        (lambda: Ensemble(()), r"one or more rewards, found none"),
        (lambda: Constraint(floor=1.0), r"constraint.floor"),
        (lambda: Tilt(reward="x").log_weight(REWARDS), r"expected a reward 'x', found total, accuracy"),
        (lambda: Tilt(low=0, high=0.9).log_weight(REWARDS), r"'total': expected within \[0, 0.9\] as its tilt declares"),
        (lambda: Constraint("total").log_weight(REWARDS), r"'total': expected 0 or 1 under a constraint, .*at_least"),
        (lambda: Tilt().log_weight({"total": R * math.nan}), r"'total': expected finite numbers, found \[nan"),
        (lambda: Cautious(("total",), deviation="d").log_weight({"total": R, "d": -R}), r"'d': expected a deviation of 0"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_by_name(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_threshold_makes_a_verifier_of_a_score():
    assert Constraint("total", at_least=0.5).log_weight(REWARDS).tolist() == [-math.inf, 0, 0, 0]
