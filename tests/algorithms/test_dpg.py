"""DPG, CDPG and GDC: the gradient of forward KL, moments that are met, a proposal that is replaced when it should be."""

import math

import pytest
import torch

from mmrl.algorithms import CDPG, DPG, GDC
from mmrl.algorithms.target_matching import TargetError, TargetKL, TargetState
from mmrl.functional.divergences import KLTargetPolicy, value
from mmrl.functional.targets import Constraint, MomentsError, Tilt
from mmrl.types import AdaptiveProposal, LossNormalisers
from tests.algorithms.enumerated import categorical, expected_gradient, gradient, scored

TIGHT = {"atol": 1e-10, "rtol": 0}
FOUR = categorical(4)
CONTEXTS = {  # prompt -> how often in ten the reference draws each outcome, and which are right
    "easy": ((1, 4, 2, 3), (1.0, 1, 0, 1)),
    "hard": ((6, 1, 2, 1), (0.0, 1, 0, 1)),
}
POLICY, SAMPLER = FOUR.logits(1), FOUR.logits(2)
TAU = 0.5


def prior(name):
    return torch.tensor(CONTEXTS[name][0], dtype=torch.float64).log()[None]


def rewards(name):
    right = torch.tensor(CONTEXTS[name][1], dtype=torch.float64)
    return {"total": torch.tensor([0.3, 1, -1, 0], dtype=torch.float64), "accuracy": right}


def base(name):
    """What ten completions earned that are as the reference draws them: Z and moments without error."""
    counts = torch.tensor(CONTEXTS[name][0])
    return {key: torch.repeat_interleave(reward, counts) for key, reward in rewards(name).items()}


def expected(algorithm, name, size=2, **more):
    more = {"state": (TargetState(),), "base_rewards": base(name)} | more
    return expected_gradient(algorithm, FOUR, POLICY, size, rewards(name), reference=prior(name), **more)


def target(factor, name):
    return (FOUR.log_prob(prior(name)) + factor.log_weight(rewards(name))).softmax(dim=0)


@pytest.mark.parametrize("sampler", [None, SAMPLER], ids=["on-policy", "off-policy"])
@pytest.mark.parametrize("baseline", ["none", "z"])
@pytest.mark.parametrize("name", CONTEXTS)
def test_the_expected_gradient_is_policy_minus_target(name, baseline, sampler):
    # for a softmax over outcomes grad KL(p || pi) = pi - p
    one = DPG(target=(Tilt(0.5),), z="offline", baseline=baseline)
    p = target(Tilt(0.5), name)
    got = expected(one, name, sampler=sampler)[0]
    torch.testing.assert_close(got, FOUR.log_prob(POLICY).exp() - p, **TIGHT)
    exact = gradient(lambda x: value(KLTargetPolicy(), FOUR.log_prob(x).exp(), p), POLICY)
    torch.testing.assert_close(got, exact[0], **TIGHT)


def test_a_constant_z_weighs_prompts_by_their_own():
    for name in CONTEXTS:
        z = (FOUR.log_prob(prior(name)).exp() * rewards(name)["accuracy"]).sum()
        got = expected(DPG(target=(Constraint(),), z="none", baseline="none"), name)[0]
        torch.testing.assert_close(got, z * (FOUR.log_prob(POLICY).exp() - target(Constraint(), name)), **TIGHT)


def test_a_leave_one_out_z_keeps_the_direction():
    got = expected(DPG(target=(Tilt(0.5),)), "easy", size=4)[0]
    true = FOUR.log_prob(POLICY).exp() - target(Tilt(0.5), "easy")
    assert (got @ true / got.norm() / true.norm()).item() == pytest.approx(1, abs=1e-10)
    snis = expected(DPG(target=(Tilt(0.5),), z="plug_in"), "easy", size=4)[0]
    assert (snis @ true / snis.norm() / true.norm()).item() < 0.9999


def test_cdpg_weighs_by_the_groups_own_z():
    s = scored(FOUR, [0, 1, 2, 3], rewards("easy"), policy=POLICY, reference=prior("easy"))
    w = FOUR.log_prob(prior("easy")).exp() * rewards("easy")["accuracy"] / FOUR.log_prob(POLICY).exp()
    worth = CDPG().token_weights(s, LossNormalisers(1, 4, 4), TargetState()).advantage[:, 0]
    torch.testing.assert_close(worth, w / w.mean(), **TIGHT)


def gdc(**fields):
    return GDC(**({"moments": {"accuracy": 0.8}, "z": "offline"} | fields))


def table():
    return {name: base(name) for name in CONTEXTS}


def test_gdc_fits_the_average_moment_over_prompts():
    one, achieved = gdc(), []
    state = one.init_state(table())
    for name in CONTEXTS:
        p = (FOUR.log_prob(prior(name)) + one.log_weight(rewards(name), state)).softmax(dim=0)
        achieved.append(p @ rewards(name)["accuracy"])
    assert sum(achieved).item() / 2 == pytest.approx(0.8, abs=1e-10)
    # a binary feature and one prompt: log-odds of the wanted minus those of the base
    state = one.init_state({"hard": base("hard")})
    assert state.coefficients.item() == pytest.approx(math.log(4) - math.log(0.2 / 0.8), abs=1e-10)


def test_gdc_moves_to_the_exponential_family():
    one = gdc(proposal=None)
    state = one.init_state(table())
    p = (FOUR.log_prob(prior("hard")) + one.log_weight(rewards("hard"), state)).softmax(dim=0)
    got = expected(one, "hard", state=(state,), sampler=SAMPLER)[0]
    torch.testing.assert_close(got, FOUR.log_prob(POLICY).exp() - p, **TIGHT)


def test_a_hybrid_has_its_moments_within_its_constraint():
    one = gdc(target=(Constraint(),), moments={"total": 0.5})
    state = one.init_state({"easy": base("easy")})
    p = (FOUR.log_prob(prior("easy")) + one.log_weight(rewards("easy"), state)).softmax(dim=0)
    assert p[2] == 0
    assert (p @ rewards("easy")["total"]).item() == pytest.approx(0.5, abs=1e-10)


def test_moments_out_of_reach_stop_before_the_first_step():
    with pytest.raises(MomentsError, match="feature 0: expected a wanted moment strictly between") as caught:
        gdc(moments={"accuracy": 1.0}).init_state(table())
    assert "accuracy" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="base_rewards: expected what the base model earned"):
        gdc().init_state(None)
    with pytest.raises(ValueError, match=r"moments: expected rewards by the names \['style'\]"):
        gdc(moments={"style": 0.5}).init_state(table())


def estimates(one, policy, sampler):
    """What is remembered of a group in which every outcome was drawn once by a uniform sampler: exact KLs."""
    s = scored(FOUR, range(4), rewards("easy"), policy=policy, sampler=sampler, reference=prior("easy"))
    return one.update_state(TargetState(), [one.observe(s, TargetState())])


def test_the_proposal_is_replaced_where_the_policy_is_closer_to_the_target():
    uniform = torch.zeros(1, 4, dtype=torch.float64)
    one = DPG(target=(Tilt(0.5),), proposal=AdaptiveProposal(1))
    p = target(Tilt(0.5), "easy")
    near, far = p.log()[None] + 0.1 * FOUR.logits(5), p.log()[None] + 3 * FOUR.logits(5)
    for policy, closer in ((near, True), (far, False)):
        state = estimates(one, policy, uniform)
        kls = [value(KLTargetPolicy(), FOUR.log_prob(x).exp(), p) for x in (policy, uniform)]
        torch.testing.assert_close(torch.tensor(state.kl, dtype=torch.float64), torch.stack(kls), **TIGHT)
        assert one.sync_proposal(state) is closer
    assert not one.sync_proposal(TargetState())


def test_groups_without_mass_say_nothing_of_the_proposal():
    one = DPG(target=(Constraint(),), proposal=AdaptiveProposal(1))
    nothing = {"total": torch.zeros(4, dtype=torch.float64), "accuracy": torch.zeros(4, dtype=torch.float64)}
    s = scored(FOUR, range(4), nothing, policy=POLICY, sampler=SAMPLER, reference=prior("easy"))
    state = one.update_state(TargetState(kl=TargetKL(0.0, 0.0)), [one.observe(s, TargetState())])
    assert not one.sync_proposal(state)
    assert state.kl is None


def test_a_target_that_is_never_reached_stops_the_run():
    one, state = DPG(target=(Constraint(),)), TargetState()
    nothing = {"total": torch.zeros(4, dtype=torch.float64), "accuracy": torch.zeros(4, dtype=torch.float64)}
    failed = one.observe(scored(FOUR, range(4), nothing, policy=POLICY, reference=prior("easy")), TargetState())
    reached = one.observe(
        scored(FOUR, range(4), rewards("easy"), policy=POLICY, reference=prior("easy")), TargetState()
    )
    for _ in range(19):
        state = one.update_state(state, [failed, failed])
    assert one.update_state(state, [failed, reached]).steps_without_support == 0
    with pytest.raises(TargetError, match=r"within 20 steps, found none.*give the constraint a floor"):
        one.update_state(state, [failed])


def test_the_report_names_the_fitted_coefficients():
    one = gdc()
    state = one.init_state(table())
    s = scored(FOUR, [0, 1], rewards("easy"), policy=POLICY, reference=prior("easy"))
    numbers = one.metrics(s, state)
    assert numbers["lambda/accuracy"] == state.coefficients.item()
    assert 1 < numbers["moments/ess"] <= 10


def test_a_wrong_weight_would_be_seen(monkeypatch):
    from mmrl.algorithms import dpg

    monkeypatch.setattr(dpg, "weights", lambda logs, log_z, cap: (logs.target - logs.policy - log_z).exp())
    with pytest.raises(AssertionError):
        test_the_expected_gradient_is_policy_minus_target("easy", "none", SAMPLER)
