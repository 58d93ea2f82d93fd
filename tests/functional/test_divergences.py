"""f-divergences: their table, their limits, their symmetries, their gradients; and that errors in them would be seen."""

import math
from dataclasses import dataclass

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from mmrl.functional.divergences import (
    Alpha,
    AnyDivergence,
    ChiSquarePolicyTarget,
    ChiSquareTargetPolicy,
    Divergence,
    Jeffreys,
    JensenShannon,
    KLPolicyTarget,
    KLTargetPolicy,
    SkewJensenShannon,
    SquaredHellinger,
    TotalVariation,
    value,
)

ALPHAS = tuple(Alpha(a) for a in (-1.0, 0.0, 1e-9, 0.25, 0.5, 0.75, 0.999999, 1.0, 2.0))
SKEWS = (SkewJensenShannon(0.25), SkewJensenShannon(0.75))
PLAIN = (
    KLTargetPolicy(), KLPolicyTarget(), JensenShannon(), TotalVariation(), ChiSquarePolicyTarget(),
    ChiSquareTargetPolicy(), SquaredHellinger(), Jeffreys(),
)  # fmt: skip
EVERY = PLAIN + SKEWS + ALPHAS
SMOOTH = tuple(d for d in EVERY if not isinstance(d, TotalVariation))
TIGHT = {"atol": 1e-12, "rtol": 1e-10}


def distribution(seed: int, k: int = 6) -> torch.Tensor:
    return torch.randn(k, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).softmax(dim=0)


def with_zeros(seed: int) -> torch.Tensor:
    p = distribution(seed) * torch.tensor([1.0, 0, 1, 1, 0, 1], dtype=torch.float64)
    return p / p.sum()


def kl(p, q):
    return (p * (p / q).log()).sum()


PI, P = distribution(0), distribution(1)


@pytest.mark.parametrize(
    ("divergence", "expected"),
    [
        (KLTargetPolicy(), kl(P, PI)),
        (KLPolicyTarget(), kl(PI, P)),
        (JensenShannon(), (kl(PI, (PI + P) / 2) + kl(P, (PI + P) / 2)) / 2),
        (TotalVariation(), (PI - P).abs().sum() / 2),
        (ChiSquarePolicyTarget(), ((PI - P) ** 2 / P).sum()),
        (ChiSquareTargetPolicy(), ((PI - P) ** 2 / PI).sum()),
        (SquaredHellinger(), ((PI.sqrt() - P.sqrt()) ** 2).sum() / 2),
        (Jeffreys(), kl(PI, P) + kl(P, PI)),
        (Alpha(0.25), ((PI**0.25 * P**0.75).sum() - 1) / (0.25 * -0.75)),
        (SkewJensenShannon(0.25), 0.25 * kl(PI, PI / 4 + 3 * P / 4) + 0.75 * kl(P, PI / 4 + 3 * P / 4)),
    ],
    ids=str,
)
def test_the_value_is_the_textbook_formula(divergence, expected):
    torch.testing.assert_close(value(divergence, PI, P), expected, **TIGHT)


@pytest.mark.parametrize("divergence", EVERY, ids=str)
def test_slopes_and_pseudo_rewards_are_derivatives_of_the_generator(divergence):
    t = torch.tensor([1e-3, 0.2, 0.9, 1.7, 40.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(divergence.f(t).sum(), t)
    torch.testing.assert_close(divergence.slope(t), slope, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(divergence.pseudo_reward(t.log()), -slope, atol=1e-9, rtol=1e-9)
    one = torch.ones(1, dtype=torch.float64)
    torch.testing.assert_close(divergence.f(one), torch.zeros_like(one))


@pytest.mark.parametrize("divergence", SMOOTH, ids=str)
def test_the_curvature_is_the_second_derivative_at_one(divergence):
    one = torch.ones(1, dtype=torch.float64, requires_grad=True)
    (curvature,) = torch.autograd.grad(divergence.slope(one).sum(), one)
    assert curvature.item() == pytest.approx(divergence.curvature, abs=1e-9)


@pytest.mark.parametrize("divergence", EVERY, ids=str)
def test_infinite_ratios_cost_the_slope_at_infinity(divergence):
    at = torch.tensor([math.inf], dtype=torch.float64)
    assert divergence.pseudo_reward(at).item() == pytest.approx(-divergence.slope_at_infinity)
    assert divergence.slope(at).item() == pytest.approx(divergence.slope_at_infinity)
    t = torch.tensor([1e14], dtype=torch.float64)
    if divergence.slope_at_infinity < 50 and not 0.5 < getattr(divergence, "a", 0) < 1:  # those approach it slowly
        assert (divergence.f(t) / t).item() == pytest.approx(divergence.slope_at_infinity, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("divergence", EVERY, ids=str)
def test_pseudo_rewards_are_finite_and_fall_at_log_ratios_of_ten_thousand(divergence, dtype):
    ratios = torch.tensor([-1e4, -100, -1, 0, 1, 100, 1e4], dtype=dtype)
    rewards = divergence.pseudo_reward(ratios)
    assert rewards.isfinite().all()
    assert (rewards.diff() <= 0).all()
    assert rewards.repeat(64).sum().isfinite()


@pytest.mark.parametrize("divergence", EVERY, ids=str)
def test_single_precision_is_as_good_as_it_can_be(divergence):
    ratios = torch.linspace(-20, 20, 81)  # exact in both
    wide = divergence.pseudo_reward(ratios.double())
    torch.testing.assert_close(divergence.pseudo_reward(ratios).double(), wide, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("divergence", EVERY, ids=str)
def test_mass_outside_the_support_costs_the_slope_at_infinity(divergence):
    target = with_zeros(3)
    inside = target > 0
    got = value(divergence, PI, target)
    if math.isinf(divergence.slope_at_infinity):
        assert got == math.inf
    else:
        expected = (target[inside] * divergence.f(PI[inside] / target[inside])).sum()
        expected = expected + divergence.slope_at_infinity * PI[~inside].sum()
        torch.testing.assert_close(got, expected, **TIGHT)
        if 0.5 < getattr(divergence, "a", 0) < 1:
            return  # those approach their limit too slowly
        leaking = 0.999999999 * target + 1e-9 * distribution(5)  # the limit of targets with full support
        assert value(divergence, PI, leaking).item() == pytest.approx(got.item(), rel=2e-2)
    assert value(divergence, target, target).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    "divergence", [KLTargetPolicy(), ChiSquareTargetPolicy(), Jeffreys(), Alpha(-1), Alpha(0)], ids=str
)
def test_a_policy_without_mass_where_the_target_has_some_is_infinitely_far_for_some(divergence):
    assert value(divergence, with_zeros(3), PI) == math.inf


@pytest.mark.parametrize("divergence", [JensenShannon(), TotalVariation(), SquaredHellinger(), Jeffreys()], ids=str)
def test_some_are_symmetric(divergence):
    torch.testing.assert_close(value(divergence, PI, P), value(divergence, P, PI), **TIGHT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (KLTargetPolicy(), KLPolicyTarget()),
        (ChiSquarePolicyTarget(), ChiSquareTargetPolicy()),
        (SkewJensenShannon(0.3), SkewJensenShannon(0.7)),
        *[(Alpha(a), Alpha(1 - a)) for a in (-1.0, 0.0, 0.3, 2.5)],
    ],
    ids=str,
)
def test_others_swap_with_their_arguments(one, other):
    torch.testing.assert_close(value(one, PI, P), value(other, P, PI), **TIGHT)


@pytest.mark.parametrize(
    ("a", "other", "factor"),
    [
        (0.0, KLTargetPolicy(), 1), (1.0, KLPolicyTarget(), 1), (0.5, SquaredHellinger(), 4),
        (2.0, ChiSquarePolicyTarget(), 0.5), (-1.0, ChiSquareTargetPolicy(), 0.5),
    ],
)  # fmt: skip
def test_the_alpha_family_contains_the_others(a, other, factor):
    torch.testing.assert_close(value(Alpha(a), PI, P), factor * value(other, PI, P), **TIGHT)


@pytest.mark.parametrize("limit", [0.0, 1.0])
@pytest.mark.parametrize("step", [1e-12, -1e-12, 1e-7])
def test_the_alpha_family_is_continuous_through_its_limits(limit, step):
    near, at = Alpha(limit + step), Alpha(limit)
    t = torch.tensor([0.01, 0.5, 3.0, 50.0], dtype=torch.float64)
    tolerance = {"atol": 100 * abs(step) * 50 + 1e-11, "rtol": 0}
    torch.testing.assert_close(near.f(t), at.f(t), **tolerance)
    torch.testing.assert_close(near.pseudo_reward(t.log()), at.pseudo_reward(t.log()), atol=1e3 * abs(step), rtol=1e-6)


def test_the_skewed_divergence_tends_to_both_kls():
    assert value(SkewJensenShannon(1e-7), PI, P).item() / 1e-7 == pytest.approx(kl(PI, P).item(), rel=1e-5)
    assert value(SkewJensenShannon(1 - 1e-7), PI, P).item() / 1e-7 == pytest.approx(kl(P, PI).item(), rel=1e-5)


def test_inequalities_between_divergences():
    for seed in range(20):
        pi, p = distribution(seed), distribution(seed + 100)
        tv, h2 = value(TotalVariation(), pi, p).item(), value(SquaredHellinger(), pi, p).item()
        assert value(JensenShannon(), pi, p).item() <= math.log(2)
        assert tv <= math.sqrt(value(KLPolicyTarget(), pi, p).item() / 2)  # Pinsker
        assert h2 <= tv <= math.sqrt(h2 * (2 - h2))


@dataclass(frozen=True)
class Shifted(Divergence):
    """f + k (t - 1), which is the same divergence."""

    base: object
    k: float

    curvature = power = None

    @property
    def slope_at_infinity(self):
        return self.base.slope_at_infinity + self.k

    def f(self, t):
        return self.base.f(t) + self.k * (t - 1)

    def slope(self, t):
        return self.base.slope(t) + self.k

    def pseudo_reward(self, log_ratio):
        return self.base.pseudo_reward(log_ratio) - self.k


def policy_gradient(divergence, logits, target):
    """E_pi[f'(pi / p) grad log pi], t held fixed."""
    logits = logits.clone().requires_grad_()
    logprobs = logits.log_softmax(dim=0)
    ratio = (logprobs - target.log()).detach()
    loss = -(logprobs.detach().exp() * divergence.pseudo_reward(ratio) * logprobs).sum()
    return torch.autograd.grad(loss, logits)[0]


def value_gradient(divergence, logits, target):
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(value(divergence, logits.softmax(dim=0), target), logits)[0]


FINITE = tuple(d for d in EVERY if math.isfinite(d.slope_at_infinity))


@pytest.mark.parametrize("divergence", EVERY, ids=str)
def test_the_gradient_is_reinforce_with_the_pseudo_reward(divergence):
    logits = PI.log()
    expected = value_gradient(divergence, logits, P)
    torch.testing.assert_close(policy_gradient(divergence, logits, P), expected, **TIGHT)
    shifted = Shifted(divergence, 3.0)
    torch.testing.assert_close(value(shifted, PI, P), value(divergence, PI, P), **TIGHT)
    torch.testing.assert_close(policy_gradient(shifted, logits, P), expected, **TIGHT)


@pytest.mark.parametrize("divergence", FINITE, ids=str)
def test_so_it_is_where_the_target_has_no_mass(divergence):
    logits, target = PI.log(), with_zeros(3)
    torch.testing.assert_close(
        policy_gradient(divergence, logits, target), value_gradient(divergence, logits, target), **TIGHT
    )


@pytest.mark.parametrize("divergence", SMOOTH, ids=str)
def test_descent_on_any_smooth_divergence_reaches_the_target(divergence):
    logits = PI.log().clone()
    for _ in range(400):
        logits -= 2.0 / divergence.curvature * policy_gradient(divergence, logits, P).clamp(-0.3, 0.3)
    assert (logits.softmax(dim=0) - P).abs().sum() < 1e-6


MUTANTS = {
    "JS twice as large, as in the f-DPG paper": (JensenShannon(), lambda L: -(math.log(2) - (-L).exp().log1p())),
    "the arguments swapped": (KLTargetPolicy(), lambda L: -(1 + L)),
    "alpha times 1 - a": (Alpha(0.75), lambda L: (-0.25 * L).expm1()),
    "chi-squares swapped": (ChiSquarePolicyTarget(), lambda L: (-2 * L).expm1()),
    "a lost factor": (SquaredHellinger(), lambda L: (-L / 2).expm1()),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_pseudo_reward_would_be_seen(name):
    right, wrong = MUTANTS[name]

    @dataclass
    class Mutant:
        def pseudo_reward(self, log_ratio):
            return wrong(log_ratio)

    got, expected = policy_gradient(Mutant(), PI.log(), P), value_gradient(right, PI.log(), P)
    assert (got - expected).abs().max() > 1e-3


def test_total_variation_takes_rounding_for_a_tie():
    ratios = torch.tensor([1e-13, -1e-13, 1e-9, -1e-9], dtype=torch.float64)
    assert TotalVariation().pseudo_reward(ratios).tolist() == [0, 0, -0.5, 0.5]


def test_names_say_the_order_and_aliases_mean_the_same():
    chosen = TypeAdapter(AnyDivergence).validate_python
    assert chosen({"name": "forward_kl"}) == chosen({"name": "kl_target_policy"}) == KLTargetPolicy()
    assert chosen({"name": "alpha", "a": 0.25}) == Alpha(0.25)
    assert chosen({"name": "pearson_chi2"}) == ChiSquarePolicyTarget()
    assert {type(chosen({"name": each.name})) for each in EVERY} == {type(each) for each in EVERY}
    with pytest.raises(ValidationError, match=r"expected tags: 'kl_target_policy', "):
        chosen({"name": "kl"})


def test_what_is_not_a_distribution_is_refused():
    with pytest.raises(
        ValueError, match=r"target: expected probabilities that add up to 1.*divide the target by its Z"
    ):
        value(KLTargetPolicy(), PI, 2 * P)
    with pytest.raises(ValueError, match=r"policy"):
        value(KLTargetPolicy(), PI * math.nan, P)
    with pytest.raises(ValueError, match=r"divergence.weight: expected a number in \(0, 1\), found 1"):
        SkewJensenShannon(1.0)
    with pytest.raises(ValueError, match=r"divergence.a: expected a finite number"):
        Alpha(math.inf)
