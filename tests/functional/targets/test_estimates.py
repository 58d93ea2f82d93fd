"""Estimates of divergences: exact over all outcomes, and as their formulas over a sample."""

import math

import pytest
import torch

from mmrl.functional.divergences import KLPolicyTarget, KLTargetPolicy, TotalVariation, value
from mmrl.functional.targets import (
    effective_samples,
    kl_policy,
    kl_prior,
    kl_target,
    log_mean_exp,
    total_variation,
)

K = 6


def logprobs(seed: int) -> torch.Tensor:
    return torch.randn(K, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).log_softmax(dim=0)


PI, Q, PRIOR = logprobs(0), torch.full((K,), -math.log(K), dtype=torch.float64), logprobs(1)
P = PRIOR + torch.tensor([1.0, 0, 2, -1, 0.5, 0], dtype=torch.float64)  # not normalised
HARD = P.masked_fill(torch.tensor([False, True, False, False, True, False]), -math.inf)


@pytest.mark.parametrize("target", [P, HARD], ids=["soft", "hard"])
@pytest.mark.parametrize(
    ("estimate", "divergence"),
    [(kl_target, KLTargetPolicy()), (total_variation, TotalVariation())],
    ids=["kl", "tv"],
)
def test_over_all_outcomes_once_the_estimates_are_exact(estimate, divergence, target):
    # a uniform proposal that drew each outcome once
    expected = value(divergence, PI.exp(), target.softmax(dim=0))
    torch.testing.assert_close(estimate(target, PI, Q), expected, atol=1e-12, rtol=1e-12)
    with_z = estimate(target, PI, Q, target.logsumexp(dim=0))
    torch.testing.assert_close(with_z, expected, atol=1e-12, rtol=1e-12)


def test_so_are_those_under_the_policy():
    expected = value(KLPolicyTarget(), PI.exp(), P.softmax(dim=0))
    torch.testing.assert_close(kl_policy(P, PI, Q), expected, atol=1e-12, rtol=1e-12)
    assert kl_policy(HARD, PI, Q) == math.inf
    expected = value(KLPolicyTarget(), PI.exp(), PRIOR.exp())
    torch.testing.assert_close(kl_prior(PI, PRIOR, Q), expected, atol=1e-12, rtol=1e-12)


def test_over_a_sample_they_are_their_formulas():
    rows = torch.tensor([0, 2, 2, 5])
    p, pi, q = P[rows], PI[rows], logprobs(3)[rows]
    w, z = (p - q).exp(), (p - q).exp().mean()
    expected = -z.log() + (w * (p - pi)).mean() / z
    torch.testing.assert_close(kl_target(p, pi, q), expected)
    torch.testing.assert_close(total_variation(p, pi, q), ((pi - q).exp() - w / z).abs().mean() / 2)
    torch.testing.assert_close(
        kl_target(p, pi, q, 0.7), -0.7 + (w * (p - pi)).mean() / math.exp(0.7) * torch.ones(()).double()
    )


def test_effective_samples():
    w = torch.tensor([0.0, 0.0, -math.inf, math.log(2.0)], dtype=torch.float64)
    assert effective_samples(w).item() == pytest.approx(16 / 6)
    assert effective_samples(1e4 + w).item() == pytest.approx(16 / 6)
    assert effective_samples(torch.full((3,), -math.inf)) == 0
    assert log_mean_exp(w).item() == pytest.approx(0)


def test_samples_without_mass_are_refused():
    with pytest.raises(ValueError, match="expected mass on some of the samples, found none"):
        kl_target(torch.full((3,), -math.inf), PI[:3], Q[:3])


MUTANTS = {
    "Z is lost": (KLTargetPolicy(), lambda p, pi, q: kl_target(p, pi, q, 0.0)),
    "the sampler's probability is lost": (TotalVariation(), lambda p, pi, q: total_variation(p, pi, 0 * q)),
    "the arguments are swapped": (KLTargetPolicy(), kl_policy),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_deliberate_error_would_be_seen(name):
    divergence, wrong = MUTANTS[name]
    exact = value(divergence, PI.exp(), P.softmax(dim=0))
    assert abs(wrong(P, PI, Q) - exact) > 1e-3
