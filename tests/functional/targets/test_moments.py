"""Exponential families with wanted moments: exact laws, several contexts, and moments out of reach."""

import math

import pytest
import torch

from mmrl.functional.targets import MomentsError, fit

K = 8
F64 = {"dtype": torch.float64}


def noise(seed: int, *shape) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


BASE = noise(0, K).log_softmax(dim=0)
PHI = torch.stack([(noise(1, K) > 0).double(), noise(2, K)], dim=1)
KINDS = {
    "one binary": (PHI[:, :1], [0.8]),
    "one real": (PHI[:, 1:], [0.9]),
    "both": (PHI, [0.6, 0.3]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_moments_are_met_by_the_nearest_distribution(kind):
    phi, wanted = KINDS[kind][0], torch.tensor(KINDS[kind][1], **F64)
    found = fit([phi], [BASE], wanted)
    log_p = (BASE + phi @ found.coefficients).log_softmax(dim=0)
    p = log_p.exp()
    torch.testing.assert_close(p @ phi, wanted, atol=1e-10, rtol=0)
    kl = (p * (log_p - BASE)).sum()
    torch.testing.assert_close(kl, found.coefficients @ wanted - found.log_z[0], atol=1e-10, rtol=0)
    # Pythagoras: any other distribution with the same moments is as much further away as it is from p
    away = torch.linalg.svd(torch.cat([phi.T, torch.ones(1, K, **F64)]))[2][-1]
    other = p + 0.5 * (p / away.abs()).min() * away
    through = (other * (other.log() - log_p)).sum() + kl
    torch.testing.assert_close((other * (other.log() - BASE)).sum(), through, atol=1e-10, rtol=0)
    assert found.steps < 15


def test_one_binary_feature_shifts_its_log_odds():
    phi, base_rate = PHI[:, :1], (BASE.exp() @ PHI[:, 0]).item()
    found = fit([phi], [BASE], torch.tensor([0.9], **F64))
    assert found.coefficients.item() == pytest.approx(math.log(9) - math.log(base_rate / (1 - base_rate)), abs=1e-10)


def test_samples_of_another_sampler_are_weighed():
    # each outcome as often as the sampler's probability says, weights base / sampler: the exact fit again
    counts = torch.tensor([1, 2, 3, 1, 2, 4, 1, 2])
    rows = torch.repeat_interleave(torch.arange(K), counts)
    sampler = (counts / counts.sum()).double().log()
    exact = fit([PHI], [BASE], torch.tensor([0.6, 0.3], **F64)).coefficients
    got = fit([PHI[rows]], [(BASE - sampler)[rows]], torch.tensor([0.6, 0.3], **F64)).coefficients
    torch.testing.assert_close(got, exact, atol=1e-9, rtol=0)


def test_log_weights_far_from_zero_do_not_matter():
    wanted = torch.tensor([0.6, 0.3], **F64)
    exact = fit([PHI], [BASE], wanted)
    for shift in (-3000.0, 3000.0):
        torch.testing.assert_close(
            fit([PHI], [BASE + shift], wanted).coefficients, exact.coefficients, atol=1e-9, rtol=0
        )


def contexts():
    bases = [noise(10 + c, K).log_softmax(dim=0) for c in range(3)]
    phis = [(noise(20 + c, K, 1) > 0).double() for c in range(3)]
    return phis, bases, torch.tensor([0.5, 0.3, 0.2], **F64)


def test_contexts_share_coefficients_and_average_their_own_moments():
    phis, bases, tau = contexts()
    found = fit(phis, bases, torch.tensor([0.6], **F64), tau)
    own = [(b + f[:, 0] * found.coefficients).softmax(dim=0) @ f[:, 0] for f, b in zip(phis, bases, strict=True)]
    assert sum(t * m for t, m in zip(tau, own, strict=True)).item() == pytest.approx(0.6, abs=1e-10)
    # the mutant: numerator and denominator pooled over contexts, which also re-weights them
    joint = torch.cat([t.log() + b for t, b in zip(tau, bases, strict=True)])
    pooled = fit([torch.cat(phis)], [joint], torch.tensor([0.6], **F64))
    assert abs(pooled.coefficients - found.coefficients).item() > 1e-3


def test_contexts_without_mass_are_left_out():
    phis, bases, _ = contexts()
    nothing = torch.full((K,), -math.inf, **F64)
    with_it = fit([*phis, PHI[:, :1]], [*bases, nothing], torch.tensor([0.6], **F64))
    torch.testing.assert_close(with_it.coefficients, fit(phis, bases, torch.tensor([0.6], **F64)).coefficients)
    with pytest.raises(MomentsError, match="expected samples with mass under the other factors, found none"):
        fit([PHI], [nothing], torch.tensor([0.6, 0.3], **F64))


def test_many_contexts_of_different_sizes_are_fitted_at_once():
    sizes = [2 + c % 15 for c in range(200)]
    phis = [torch.stack([(noise(c, n) > 0).double(), noise(-c - 1, n)], dim=1) for c, n in enumerate(sizes)]
    found = fit(phis, [torch.zeros(n, **F64) for n in sizes], torch.tensor([0.7, 0.4], **F64))
    own = [(f @ found.coefficients).softmax(dim=0) @ f for f in phis]
    torch.testing.assert_close(torch.stack(own).mean(dim=0), torch.tensor([0.7, 0.4], **F64), atol=1e-10, rtol=0)


def test_features_that_say_the_same_are_no_trouble():
    phi = torch.cat([PHI[:, :1], PHI[:, :1], torch.ones(K, 1, **F64)], dim=1)
    found = fit([phi], [BASE], torch.tensor([0.7, 0.7, 1.0], **F64))
    torch.testing.assert_close(found.moments, torch.tensor([0.7, 0.7, 1.0], **F64), atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    ("phi", "wanted", "said"),
    [
        (PHI[:, :1], [1.0], r"feature 0: expected a wanted moment strictly between 0 and 1, .*use a constraint"),
        (PHI[:, :1], [1.2], r"feature 0"),
        (PHI, [0.5, 40.0], r"feature 1"),
        (0 * PHI[:, :1], [0.5], r"strictly between 0 and 0, .*found 0.5"),
        (torch.cat([PHI[:, :1], PHI[:, :1]], dim=1), [0.5, 0.6], r"no distribution on the samples has them together"),
        (
            torch.cat([PHI[:, :1], 1 - PHI[:, :1]], dim=1),
            [0.5, 0.6],
            r"no distribution on the samples has them together",
        ),
    ],
)
def test_moments_out_of_reach_are_refused(phi, wanted, said):
    with pytest.raises(MomentsError, match=said):
        fit([phi], [BASE], torch.tensor(wanted, **F64))


@pytest.mark.parametrize("base_rate", [1e-9, 1e-4, 0.5, 0.9999])
@pytest.mark.parametrize("wanted", [1e-3, 0.3, 0.999, 1 - 1e-6])
def test_rare_features_are_made_common_and_common_ones_rare(base_rate, wanted):
    base = torch.tensor([1 - base_rate, base_rate], **F64).log()
    found = fit([torch.tensor([[0.0], [1.0]], **F64)], [base], torch.tensor([wanted], **F64))
    expected = math.log(wanted / (1 - wanted)) - math.log(base_rate / (1 - base_rate))
    assert found.coefficients.item() == pytest.approx(expected, abs=1e-8)


def test_features_may_have_any_scale():
    units = torch.tensor([1e-6, 1e5], **F64)
    plain, scaled = (fit([PHI * u], [BASE], torch.tensor([0.6, 0.3], **F64) * u) for u in (torch.ones(2, **F64), units))
    torch.testing.assert_close(scaled.coefficients * units, plain.coefficients, atol=1e-8, rtol=0)


def test_moments_next_to_the_edge_are_met_or_refused_but_never_missed():
    for gap in (1e-2, 1e-4, 1e-6):
        found = fit([PHI[:, :1]], [BASE], torch.tensor([1 - gap], **F64))
        assert found.moments.item() == pytest.approx(1 - gap, abs=1e-9)
