"""VarGrad and GVPO: losses of log-ratios whose minimum is the target, whoever samples."""

from dataclasses import dataclass, replace

import pytest
import torch

from mmrl.algorithms import GVPO, VarGrad
from mmrl.algorithms.target_matching import TargetMatching, TargetState
from mmrl.algorithms.vargrad import gvpo, residuals, vargrad
from mmrl.functional.divergences import KLPolicyTarget, value
from mmrl.functional.targets import Tilt
from mmrl.types import Frozen
from tests.algorithms.enumerated import categorical, expected_gradient, gradient, scored, sequences, step_loss

TIGHT = {"atol": 1e-10, "rtol": 0}
BETA = 0.4
FOUR, SEVEN = categorical(4), sequences(2, 2)
KINDS = {"categorical": FOUR, "sequences": SEVEN}
METHODS = {
    "vargrad": (lambda: VarGrad(target=(Tilt(BETA),)), (TargetState(),), lambda size: 2 * (size - 1) / size),
    "gvpo": (
        lambda: GVPO(beta=BETA, target_policy="reference", reference=Frozen()),
        (TargetState(),),
        lambda size: BETA**2,
    ),
}


def world(outcomes):
    reward = torch.linspace(-1, 1, len(outcomes), dtype=torch.float64)
    return outcomes.logits(1), outcomes.logits(2), outcomes.logits(3), {"total": reward}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("kind", "size"), [("categorical", 2), ("categorical", 4), ("sequences", 2)])
def test_on_policy_they_are_reverse_kl_but_for_a_constant(kind, size, method):
    make, state, factor = METHODS[method]
    outcomes = KINDS[kind]
    policy, _, prior, rewards = world(outcomes)
    p = (outcomes.log_prob(prior) + rewards["total"] / BETA).softmax(dim=0)
    got = expected_gradient(make(), outcomes, policy, size, rewards, reference=prior, state=state)
    exact = gradient(lambda x: value(KLPolicyTarget(), outcomes.log_prob(x).exp(), p), policy)
    torch.testing.assert_close(got, factor(size) * exact, **TIGHT)


@dataclass(frozen=True, kw_only=True)
class Balance(TargetMatching):
    """A completion is worth what it is given."""

    given: torch.Tensor
    target = (Tilt(BETA),)

    def advantages(self, scored, state=None):
        return self.given


def balanced(log_z):
    """The expected gradient, on-policy, of half the square of log pi - log P + log Z, a completion at a time (E21)."""
    policy, _, prior, rewards = world(SEVEN)
    logits, target = policy.clone().requires_grad_(), SEVEN.log_prob(prior) + rewards["total"] / BETA
    total = logits.new_zeros(())
    for row, log_q in enumerate(SEVEN.log_prob(policy)):
        one = scored(SEVEN, [row], rewards, policy=policy, reference=prior)
        method = Balance(given=-(log_q - target[row] + log_z(log_q))[None])
        total = total + log_q.exp() * step_loss(method, SEVEN, logits, one, [row])
    p = target.softmax(dim=0)
    exact = gradient(lambda x: value(KLPolicyTarget(), SEVEN.log_prob(x).exp(), p), policy)
    return torch.autograd.grad(total, logits)[0], exact


@pytest.mark.parametrize("constant", [0.0, 3.0, -1e3])
def test_on_policy_any_constant_in_the_place_of_log_z_gives_reverse_kl(constant):
    torch.testing.assert_close(*balanced(lambda _: constant), **TIGHT)


def test_what_depends_on_the_completion_is_no_constant():
    with pytest.raises(AssertionError):
        torch.testing.assert_close(*balanced(lambda log_q: log_q), **TIGHT)


@pytest.mark.parametrize("method", METHODS)
def test_whoever_samples_they_rest_at_the_target(method):
    make, state, _ = METHODS[method]
    _, sampler, prior, rewards = world(FOUR)
    p = (FOUR.log_prob(prior) + rewards["total"] / BETA).log_softmax(dim=0)[None]
    got = expected_gradient(make(), FOUR, p, 3, rewards, sampler=sampler, reference=prior, state=state)
    assert got.abs().max() < 1e-12
    away = expected_gradient(make(), FOUR, p + 0.1 * sampler, 3, rewards, sampler=sampler, reference=prior, state=state)
    assert away.abs().max() > 1e-4


@pytest.mark.parametrize("rows", [(0, 1, 3), (2, 2, 5, 6)])
def test_the_steps_gradient_is_that_of_the_papers_loss(rows):
    policy, sampler, prior, rewards = world(SEVEN)
    logits = policy.clone().requires_grad_()
    index = list(rows)
    s = scored(SEVEN, rows, rewards, policy=logits, sampler=sampler, reference=prior)
    target = SEVEN.log_prob(prior)[index] + rewards["total"][index] / BETA
    papers = {
        "vargrad": lambda log_pi: vargrad(log_pi, target),
        "gvpo": lambda log_pi: gvpo(log_pi, SEVEN.log_prob(prior)[index], rewards["total"][index], BETA),
    }
    for method, (make, state, _) in METHODS.items():
        (mine,) = torch.autograd.grad(step_loss(make(), SEVEN, logits, s, rows, *state), logits)
        (theirs,) = torch.autograd.grad(papers[method](SEVEN.log_prob(logits)[index]), logits)
        torch.testing.assert_close(mine, theirs, **TIGHT)


def test_towards_the_sampler_the_residual_starts_from_the_reward_alone():
    policy, sampler, _, rewards = world(FOUR)
    rows, r = [0, 1, 2, 3], rewards["total"]
    s = scored(FOUR, rows, rewards, policy=policy, sampler=sampler)
    one = GVPO(beta=BETA)
    assert one.reference_mask(s.group, s.rewards) is None
    logits = policy.clone().requires_grad_()
    (mine,) = torch.autograd.grad(step_loss(one, FOUR, logits, s, rows, TargetState()), logits)
    (theirs,) = torch.autograd.grad(gvpo(FOUR.log_prob(logits), FOUR.log_prob(sampler), r, BETA), logits)
    torch.testing.assert_close(mine, theirs, **TIGHT)


def test_gvpos_residual_is_beta_times_vargrads_and_both_are_centred():
    policy, _, prior, rewards = world(FOUR)
    log_pi, log_prior, r = FOUR.log_prob(policy), FOUR.log_prob(prior), rewards["total"]
    mine = residuals(log_pi, log_prior + r / BETA)
    assert abs(mine.sum()) < 1e-12
    implicit = BETA * (log_pi - log_prior)
    torch.testing.assert_close((implicit - implicit.mean()) - (r - r.mean()), BETA * mine, **TIGHT)
    torch.testing.assert_close(
        gvpo(log_pi, log_prior, r, BETA), BETA**2 * vargrad(log_pi, log_prior + r / BETA) * 4 / 3 / 2
    )


MUTANTS = {  # the reference is lost
    "vargrad": (TargetMatching, "logs", lambda self, s, state: replace(LOGS(self, s, state), target=s.total / BETA)),
    "gvpo": (GVPO, "prior", lambda self, s: torch.zeros_like(s.group.sampling_logprobs)),
}
LOGS = TargetMatching.logs


@pytest.mark.parametrize("method", METHODS)
def test_a_deliberate_error_would_be_seen(method, monkeypatch):
    monkeypatch.setattr(*MUTANTS[method])
    with pytest.raises(AssertionError):
        test_on_policy_they_are_reverse_kl_but_for_a_constant("categorical", 2, method)
