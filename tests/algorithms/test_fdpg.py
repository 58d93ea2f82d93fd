"""f-DPG: its expected gradient is the divergence's, over all groups that can be drawn; and what it shares with its kin."""

import math
from collections import Counter

import pytest
import torch

from mmrl.algorithms import CDPG, DPG, FDPG, GVPO, AlphaDPG, KLInReward, VarGrad, fdpg, target_matching
from mmrl.algorithms.target_matching import TargetMatching, TargetState
from mmrl.functional import policy_gradient, targets
from mmrl.functional.divergences import (
    Alpha,
    ChiSquarePolicyTarget,
    ChiSquareTargetPolicy,
    Jeffreys,
    JensenShannon,
    KLPolicyTarget,
    KLTargetPolicy,
    SkewJensenShannon,
    SquaredHellinger,
    TotalVariation,
    value,
)
from mmrl.functional.targets import Constraint, Tilt
from mmrl.types import EMA, LossNormalisers
from tests.algorithms.enumerated import categorical, expected_gradient, gradient, scored, sequences, step_loss

EVERY = (
    KLTargetPolicy(), KLPolicyTarget(), JensenShannon(), TotalVariation(), ChiSquarePolicyTarget(), ChiSquareTargetPolicy(),
    SquaredHellinger(), Jeffreys(), SkewJensenShannon(0.25), Alpha(0.25), Alpha(0.75), Alpha(2.0),
)  # fmt: skip
TIGHT = {"atol": 1e-10, "rtol": 0}
COUNTS = (1, 4, 2, 3)  # the reference draws outcome k so often in ten
FOUR = categorical(4)
PRIOR = torch.tensor(COUNTS, dtype=torch.float64).log()[None]
REWARD = torch.tensor([1.0, 0.2, -0.5, 0.7], dtype=torch.float64)
RIGHT = torch.tensor([1.0, 0, 0, 1], dtype=torch.float64)
REWARDS = {"total": REWARD, "accuracy": RIGHT}
BASE = {
    k: torch.cat([v[i].repeat(n) for i, n in enumerate(COUNTS)]) for k, v in REWARDS.items()
}  # exact: Z has no error
POLICY, SAMPLER = FOUR.logits(1), FOUR.logits(2)


def target(factor, outcomes=FOUR, prior=PRIOR, rewards=REWARDS):
    return (outcomes.log_prob(prior) + factor.log_weight(rewards)).softmax(dim=0)


def exact(divergence, p, outcomes=FOUR, policy=POLICY):
    return gradient(lambda x: value(divergence, outcomes.log_prob(x).exp(), p), policy)


def expected(algorithm, size=3, rewards=REWARDS, policy=POLICY, state=(TargetState(),), base_rewards=BASE, **more):
    return expected_gradient(
        algorithm, FOUR, policy, size, rewards, reference=PRIOR, state=state, base_rewards=base_rewards, **more
    )


@pytest.mark.parametrize("sampler", [None, SAMPLER], ids=["on-policy", "off-policy"])
@pytest.mark.parametrize("divergence", EVERY, ids=str)
def test_the_expected_gradient_is_the_divergences(divergence, sampler):
    one = FDPG(divergence=divergence, target=(Tilt(0.5),), z="offline")
    torch.testing.assert_close(expected(one, sampler=sampler), exact(divergence, target(Tilt(0.5))), **TIGHT)


@pytest.mark.parametrize("divergence", [d for d in EVERY if math.isfinite(d.slope_at_infinity)], ids=str)
def test_so_it_is_for_a_target_that_is_nought_somewhere(divergence, monkeypatch):
    # every outcome is listed, so nothing is to be smoothed
    monkeypatch.setattr(targets, "bounds", lambda factors: None)
    one = FDPG(divergence=divergence, target=(Constraint(),), z="offline")
    torch.testing.assert_close(expected(one, size=2), exact(divergence, target(Constraint())), **TIGHT)


@pytest.mark.parametrize("sampler", [None, "other"])
def test_sequences_count_as_the_sum_of_their_tokens(sampler):
    outcomes = sequences(2, 2)
    policy, other = outcomes.logits(3), outcomes.logits(4) if sampler else None
    reward = torch.linspace(-1, 1, 7, dtype=torch.float64)
    prior = torch.tensor([[5.0, 4, 3], [1, 3, 2], [1, 2, 1]], dtype=torch.float64).log()
    counts = (outcomes.log_prob(prior).exp() * 12 * 6 * 4).round().long()  # whole numbers: Z has no error
    base = {"total": torch.repeat_interleave(reward, counts)}
    one = FDPG(divergence=JensenShannon(), target=(Tilt(0.7),), z="offline")
    more = {"reference": prior, "state": (TargetState(),), "base_rewards": base, "sampler": other}
    got = expected_gradient(one, outcomes, policy, 2, {"total": reward}, **more)
    p = (outcomes.log_prob(prior) + reward / 0.7).softmax(dim=0)
    torch.testing.assert_close(got, exact(JensenShannon(), p, outcomes, policy), **TIGHT)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("z", ["none", "plug_in", "leave_one_out", "offline"])
def test_reverse_kl_needs_no_z_and_a_group_mean_shrinks_it(size, z):
    p = target(Tilt(0.5))
    whole = expected(FDPG(divergence=KLPolicyTarget(), z=z), size)
    torch.testing.assert_close(whole, exact(KLPolicyTarget(), p), **TIGHT)
    if z in ("none", "offline"):
        shrunk = expected(FDPG(divergence=KLPolicyTarget(), z=z, baseline="group_mean"), size)
        torch.testing.assert_close(shrunk, (size - 1) / size * whole, **TIGHT)


@pytest.mark.parametrize(
    "divergence", [KLTargetPolicy(), Alpha(0.5), SquaredHellinger(), ChiSquareTargetPolicy()], ids=str
)
def test_a_leave_one_out_z_keeps_the_direction_of_powers_and_a_plug_in_does_not(divergence):
    true = exact(divergence, target(Tilt(0.5))).flatten()

    def cosine(z):
        got = expected(FDPG(divergence=divergence, z=z), 4).flatten()
        return (got @ true / got.norm() / true.norm()).item(), (got.norm() / true.norm()).item()

    direction, scale = cosine("leave_one_out")
    assert direction == pytest.approx(1, abs=1e-10)
    assert scale >= 1
    assert cosine("plug_in")[0] < 0.999


def test_the_gradient_is_minus_that_of_regularised_reward_over_beta():
    beta = 0.4

    def objective(x):
        pi, log_pi = FOUR.log_prob(x).exp(), FOUR.log_prob(x)
        return (pi * (REWARD - beta * (log_pi - FOUR.log_prob(PRIOR)))).sum()

    got = expected(FDPG(divergence=KLPolicyTarget(), target=(Tilt(beta),)))
    torch.testing.assert_close(got, -gradient(objective, POLICY) / beta, **TIGHT)


def test_reverse_kl_is_regularised_rl_divided_by_beta():
    s = scored(FOUR, [0, 1, 1, 3], REWARDS, policy=POLICY, reference=PRIOR)
    totals = LossNormalisers(1, 4, 4)
    mine = FDPG(divergence=KLPolicyTarget(), target=(Tilt(0.3),)).token_weights(s, totals, TargetState())
    theirs = KLInReward(beta=0.3).token_weights(s, totals)
    torch.testing.assert_close(0.3 * mine.advantage, theirs.advantage, **TIGHT)
    torch.testing.assert_close(mine.loss_weight, theirs.loss_weight)


@pytest.mark.parametrize("sampler", [None, SAMPLER], ids=["on-policy", "off-policy"])
def test_forward_kl_is_dpg(sampler):
    s = scored(FOUR, [0, 1, 1, 3], REWARDS, policy=POLICY, sampler=sampler, reference=PRIOR)
    totals = LossNormalisers(1, 4, 4)
    mine = FDPG(divergence=KLTargetPolicy(), target=(Tilt(0.3),), baseline="none").token_weights(
        s, totals, TargetState()
    )
    theirs = DPG(target=(Tilt(0.3),), baseline="none").token_weights(s, totals, TargetState())
    torch.testing.assert_close(mine.advantage, theirs.advantage, **TIGHT)


@pytest.mark.parametrize("a", [0.0, 0.25, 0.5, 0.75, 0.9])
def test_alpha_dpg_is_the_published_recipe_but_for_a_constant(a):
    # theirs: Z the group's mean weight, at most 1; min((p / pi)^(1-a) - 1, 10); minus the mean of the siblings
    s = scored(FOUR, [0, 1, 2, 3], REWARDS, policy=POLICY, reference=PRIOR)
    pi, w = FOUR.log_prob(POLICY).exp(), FOUR.log_prob(PRIOR).exp() * RIGHT
    z = (w / pi).mean().clamp(max=1)
    theirs = ((w / z / pi) ** (1 - a) - 1).clamp(max=10)
    theirs = torch.stack([theirs[i] - theirs[torch.arange(4) != i].mean() for i in range(4)])
    one = AlphaDPG(divergence=Alpha(a), max_pseudo_reward=10 / (1 - a))
    mine = one.token_weights(s, LossNormalisers(1, 4, 4), TargetState()).advantage[:, 0]
    torch.testing.assert_close((1 - a) * mine, theirs, **TIGHT)


def test_the_default_of_alpha_dpg_has_the_published_cap():
    one = AlphaDPG()
    assert one.max_pseudo_reward * (1 - one.divergence.a) == 10


FAILED = {"total": torch.zeros(4, dtype=torch.float64), "accuracy": torch.zeros(4, dtype=torch.float64)}


@pytest.mark.parametrize("z", ["plug_in", "leave_one_out", "running", "offline"])
@pytest.mark.parametrize("name", ["fdpg", "forward", "alpha_dpg", "cdpg", "gdc"])
def test_a_group_without_success_is_worth_nothing(name, z):
    make = {
        "fdpg": FDPG(divergence=JensenShannon(), target=(Constraint(),), z=z),
        "forward": FDPG(divergence=KLTargetPolicy(), target=(Constraint(),), z=z),
        "alpha_dpg": AlphaDPG(z=z),
        "cdpg": CDPG(z=z),
        "gdc": DPG(target=(Constraint(),), z=z),
    }
    base = {name: 0 * earned for name, earned in BASE.items()}
    s = scored(FOUR, [0, 1, 2, 2], FAILED, policy=POLICY, sampler=SAMPLER, reference=PRIOR, base_rewards=base)
    weights = make[name].token_weights(s, LossNormalisers(1, 4, 4), TargetState())
    assert not weights.advantage.any()
    assert weights.without_signal
    numbers = make[name].metrics(s, TargetState())
    assert numbers["groups/no_success"] == 1
    assert numbers["target/outside"] == 1
    assert all(math.isfinite(number) for number in numbers.values())


def test_one_success_among_failures_counts_finitely_with_every_z():
    for z in ("plug_in", "leave_one_out", "running"):
        for divergence in (KLTargetPolicy(), JensenShannon(), Alpha(0.75)):
            s = scored(FOUR, [0, 1, 1, 2], REWARDS, policy=POLICY, reference=PRIOR)
            worth = (
                FDPG(divergence=divergence, target=(Constraint(),), z=z)
                .token_weights(s, LossNormalisers(1, 4, 4), TargetState())
                .advantage[:, 0]
            )
            assert worth.isfinite().all()
            assert worth[0] > 0
            assert (worth[1:] < 0).all()


def test_a_running_z_is_made_of_the_past_and_the_siblings_and_never_of_the_sample():
    one = FDPG(divergence=KLTargetPolicy(), z="running", baseline="none")
    first = scored(FOUR, [0, 1, 3], REWARDS, policy=POLICY, sampler=SAMPLER, reference=PRIOR)
    state = one.update_state(TargetState(), [one.observe(first, TargetState())])
    second = scored(FOUR, [2, 1, 0], REWARDS, policy=POLICY, sampler=SAMPLER, reference=PRIOR)
    logs = one.logs(second, state)
    w = one.logs(first, TargetState()).weight.exp()
    own = logs.weight.exp()
    z = torch.stack([torch.cat([w, own[torch.arange(3) != i]]).mean() for i in range(3)])
    torch.testing.assert_close(one.log_z(second, logs, state), z.log(), **TIGHT)
    other = scored(FOUR, [2, 1, 0], REWARDS, policy=POLICY, reference=PRIOR, name="another")
    assert one.log_z(other, logs, state)[0].item() == pytest.approx(own[1:].mean().log().item())


def test_what_is_forgotten_counts_less():
    one = FDPG(z="running", z_decay=0.5)
    s = scored(FOUR, [0, 1, 3], REWARDS, policy=POLICY, reference=PRIOR)
    visit = one.observe(s, TargetState())
    state = one.update_state(one.update_state(TargetState(), [visit]), [visit])
    log_sum, count = state.running_z["made"]
    assert count == 1.5 * 3
    assert log_sum == pytest.approx(math.log(1.5) + visit.z.log_sum)


@pytest.mark.parametrize("divergence", EVERY, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rewards_a_thousand_times_beta_stay_finite_and_in_order(divergence, dtype):
    large = {"total": (1000 * REWARD).to(dtype)}
    s = scored(
        FOUR,
        [0, 1, 2, 3],
        large,
        policy=POLICY.to(dtype),
        reference=PRIOR.to(dtype),
        base_rewards={"total": large["total"]},
    )
    worth = (
        FDPG(divergence=divergence, target=(Tilt(1.0),), z="offline")
        .token_weights(s, LossNormalisers(1, 4, 4), TargetState())
        .advantage[:, 0]
    )
    assert worth.dtype == dtype
    if dtype == torch.float64:
        assert worth.isfinite().all()
        assert worth[0] == worth.max()


def test_shifts_of_the_reward_leave_the_credit():
    s, moved = (
        scored(FOUR, [0, 1, 1, 3], {"total": k * REWARD + c}, policy=POLICY, reference=PRIOR)
        for k, c in ((1, 0), (5, -3))
    )
    one, other = (
        FDPG(target=(Tilt(beta),)).token_weights(x, LossNormalisers(1, 4, 4), TargetState())
        for x, beta in ((s, 0.3), (moved, 1.5))
    )
    torch.testing.assert_close(one.advantage, other.advantage, **TIGHT)


def test_filtering_the_policy_buys_what_it_rejects():
    # KL(p || pi) = KL(p || pi filtered) - log acceptance: lowering forward KL buys fidelity and speed
    p, pi = target(Constraint()), FOUR.log_prob(POLICY).exp()
    filtered, inside = pi * RIGHT / (pi @ RIGHT), RIGHT > 0
    through = value(KLTargetPolicy(), filtered[inside], p[inside]) - (pi @ RIGHT).log()
    torch.testing.assert_close(value(KLTargetPolicy(), pi, p), through, **TIGHT)


def test_caps_bound_rewards_and_ratios():
    s = scored(FOUR, [0, 1, 2, 3], REWARDS, policy=POLICY, sampler=SAMPLER, reference=PRIOR)
    bound = (
        FDPG(divergence=KLTargetPolicy(), max_pseudo_reward=0.5, max_ratio=1.1, baseline="none")
        .token_weights(s, LossNormalisers(1, 4, 4), TargetState())
        .advantage
    )
    assert bound.max() <= 0.55
    logs = FDPG().logs(s, TargetState())
    torch.testing.assert_close(logs.ratio(1.1), logs.ratio().clamp(max=1.1))
    assert FDPG(divergence=KLTargetPolicy(), max_pseudo_reward=0.5).metrics(s, TargetState())["fdpg/capped"] > 0


def test_the_report_is_the_estimates_of_the_group():
    s = scored(FOUR, [0, 1, 1, 3], REWARDS, policy=POLICY, reference=PRIOR)
    numbers = FDPG(target=(Tilt(0.5),)).metrics(s, TargetState())
    pi, p0 = FOUR.log_prob(POLICY)[[0, 1, 1, 3]], FOUR.log_prob(PRIOR)[[0, 1, 1, 3]]
    w = (p0 + 2 * REWARD[[0, 1, 1, 3]] - pi).exp()
    assert numbers["kl_sequence"] == pytest.approx((pi - p0).mean().item())
    assert numbers["target/ess"] == pytest.approx((w.sum() ** 2 / w.square().sum() / 4).item())
    assert numbers["target/tv"] == pytest.approx(((1 - w / w.mean()).abs().mean() / 2).item())
    assert numbers["target/log_z"] == pytest.approx(w.mean().log().item())
    assert numbers["policy/ess"] == pytest.approx(1)
    assert numbers["groups/no_success"] == 0


MUTANTS = {
    "the ratio is lost off-policy": (
        target_matching.SequenceLogprobs,
        "ratio",
        lambda logs, cap=None: torch.ones_like(logs.policy),
    ),
    "Z is lost": (TargetMatching, "log_z", lambda self, scored, logs, state: torch.zeros_like(logs.policy)),
    "a completion counts by its length": (
        policy_gradient,
        "loss_weights",
        lambda mask, totals, *_: mask.double() / totals.tokens * 2,
    ),
    "the sign": (fdpg, "pseudo_rewards", lambda d, logs, z, cap: -with_z(d, logs, z[:, None])),
    "the base for the target": (
        TargetMatching,
        "log_weight",
        lambda self, rewards, state: 0 * rewards["total"].double(),
    ),
    "a group's mean for the siblings'": (
        fdpg,
        "against_baseline",
        lambda rewards, _: policy_gradient.centred(rewards.diagonal()),
    ),
    "siblings by their own Z": (fdpg, "pseudo_rewards", lambda d, logs, z, cap: with_z(d, logs, z[None, :])),
}


def with_z(divergence, logs, log_z):
    return divergence.pseudo_reward((logs.policy - logs.target)[None, :] + log_z).expand(len(logs.policy), -1)


CAUGHT_BY = {
    "a completion counts by its length": lambda: test_sequences_count_as_the_sum_of_their_tokens("other"),
    "siblings by their own Z": lambda: test_reverse_kl_needs_no_z_and_a_group_mean_shrinks_it(3, "leave_one_out"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_deliberate_error_would_be_seen(name, monkeypatch):
    monkeypatch.setattr(*MUTANTS[name])
    caught_by = CAUGHT_BY.get(name, lambda: test_the_expected_gradient_is_the_divergences(JensenShannon(), SAMPLER))
    with pytest.raises(AssertionError):
        caught_by()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FDPG(divergence=KLPolicyTarget(), target=(Constraint(),)), "KLPolicyTarget is infinite .* give the constraint a floor"),
        (lambda: FDPG(divergence=Alpha(1.0), target=(Constraint(),)), "Alpha is infinite"),
        (lambda: FDPG(divergence=TotalVariation()), r"algorithm.z: TotalVariation with a Z of the group, found leave_one_out"),
        (lambda: FDPG(divergence=TotalVariation(), z="plug_in"), r"Use z: offline"),
        (lambda: FDPG(divergence=TotalVariation(), z="running"), r"algorithm.z"),
        (lambda: FDPG(divergence=JensenShannon(), z="none"), r"algorithm.z: JensenShannon depends on Z in more than scale"),
        (lambda: FDPG(target=()), r"algorithm.target: expected a factor or moments, found none"),
        (lambda: FDPG(clamp_log_z=True), r"algorithm.clamp_log_z: .*declare low and high"),
        (lambda: FDPG(max_pseudo_reward=0.0), r"algorithm.max_pseudo_reward: expected a number above 0, found 0.0"),
        (lambda: FDPG(z_decay=0.0), r"algorithm.z_decay: expected a number in \(0, 1\], found 0.0"),
        (lambda: FDPG(baseline="group_mean_std"), r"algorithm.baseline: .*group_mean_std gives each prompt a scale of its own"),
        (lambda: FDPG(z="running", reference=EMA()), r"algorithm.reference: expected frozen"),
        (lambda: FDPG(z="offline", reference=EMA()), r"algorithm.reference: expected frozen"),
        (lambda: FDPG(z="offline").init_state(None), r"base_rewards: expected what the base model earned"),
        (lambda: DPG(z="none"), r"algorithm.z: expected an estimate, as the baseline"),
        (lambda: VarGrad(target=(Constraint(),)), r"algorithm.target: expected mass everywhere"),
        (lambda: GVPO(target_policy="reference"), r"algorithm.reference: expected one"),
        (lambda: GVPO(beta=0.0), r"tilt.beta: expected a finite number above 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused_with_the_remedy(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize("make", [FDPG, lambda: DPG(target=(Tilt(),)), VarGrad, GVPO])
def test_a_group_of_one_is_refused(make):
    one = make()
    assert one.needs.group_baseline
    s = scored(FOUR, [0], REWARDS, policy=POLICY, reference=PRIOR)
    with pytest.raises(ValueError, match="expected 2 or more"):
        one.token_weights(s, LossNormalisers(1, 1, 1), TargetState())


def test_an_enumerated_step_is_a_draw_of_the_expectation():
    # the mean over many groups drawn at random is within five standard errors of what was enumerated
    one, noise = FDPG(z="offline"), torch.Generator().manual_seed(0)
    pi = FOUR.log_prob(POLICY).exp()
    drawn = torch.multinomial(pi, 2 * 3000, replacement=True, generator=noise).reshape(-1, 2).sort(dim=1).values
    samples = []
    for rows, times in Counter(map(tuple, drawn.tolist())).items():
        logits = POLICY.clone().requires_grad_()
        s = scored(FOUR, rows, REWARDS, policy=logits, reference=PRIOR, base_rewards=BASE)
        step = torch.autograd.grad(step_loss(one, FOUR, logits, s, rows, TargetState()), logits)[0].flatten()
        samples += [step] * times
    samples = torch.stack(samples)
    error = (samples.mean(dim=0) - expected(one, 2).flatten()).abs()
    assert (error < 5 * samples.std(dim=0) / math.sqrt(len(samples))).all()


@pytest.mark.slow("thousands of steps; the gradients that lead there are exact above")
def test_reward_alone_collapses_and_regularised_reward_comes_to_rest_at_the_posterior():
    three = categorical(3)
    prior, reward = three.logits(7), torch.tensor([1.0, 0.8, 0.0], dtype=torch.float64)

    def after(one, steps, rate, state):
        logits = prior.clone()
        more = {"reference": prior, "state": state}
        for _ in range(steps):
            logits -= rate * expected_gradient(one, three, logits, 2, {"total": reward}, **more)
        return three.log_prob(logits)

    p = (three.log_prob(prior) + reward / 0.5).softmax(dim=0)
    assert (
        value(
            KLTargetPolicy(),
            after(FDPG(divergence=KLPolicyTarget(), target=(Tilt(0.5),)), 200, 1.5, (TargetState(),)).exp(),
            p,
        )
        < 1e-10
    )
    alone = after(KLInReward(beta=0, reference=None), 400, 20.0, ())
    assert -(alone.exp() * alone).sum() < 0.02  # its entropy, in nats
