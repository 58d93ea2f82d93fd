"""KL-regularised RL on models that can be enumerated: what every placement of the divergence minimises, and the optimum."""

import pytest
import torch

from mmrl.algorithms import GRPO, RLOO, KLInLoss, KLInReward
from mmrl.functional.policy_gradient import k1, k3
from mmrl.types import LossNormalisers, Tokens
from tests.algorithms.enumerated import categorical, expected_gradient, gradient, scored, sequences, step_loss

ONE = sequences(2, 3)  # 15 completions, 7 prefixes
POLICY, REFERENCE, SAMPLER = ONE.logits(1), ONE.logits(2), ONE.logits(3, 0.5)
REWARD = torch.linspace(-1, 1, len(ONE), dtype=torch.float64).roll(4).cos()
NOTHING = torch.zeros(len(ONE), dtype=torch.float64)
OTHER = "kl_policy_reference", "kl_reference_policy"


def close(got, expected):
    torch.testing.assert_close(got, expected, atol=1e-10, rtol=0)


def kl(first, second):
    """KL(first || second) over completions."""
    p, q = ONE.log_prob(first), ONE.log_prob(second)
    return (p.exp() * (p - q)).sum()


def local(logits, direction, states=None):
    """The divergence between the laws of the next token, at the states that ``states`` (or the policy) visits."""
    reach = ONE.reach(logits if states is None else states).detach()
    per_token = ONE.divergence(logits, REFERENCE, direction)
    by_prefix = torch.zeros(ONE.prefixes, dtype=torch.float64).scatter_reduce(
        0, ONE.prefix[ONE.mask], per_token[ONE.mask], "mean", include_self=False
    )
    return reach @ by_prefix


REVERSE = gradient(lambda x: kl(x, REFERENCE), POLICY)
FORWARD = gradient(lambda x: kl(REFERENCE, x), POLICY)
LOCAL = {direction: gradient(lambda x, d=direction: local(x, d), POLICY) for direction in OTHER}
PLACES = {"reward": KLInReward, "loss": KLInLoss}
TABLE = {  # place, estimator, level -> the expected gradient of the divergence term; the tables of the two docstrings
    ("reward", "k1", "sequence"): REVERSE,
    ("reward", "k1", "to_go"): REVERSE,
    ("reward", "k1", "token"): LOCAL["kl_policy_reference"],
    ("reward", "k3", "sequence"): REVERSE - FORWARD,
    ("loss", "k1", "sequence"): 0 * REVERSE,
    ("loss", "k1", "token"): 0 * REVERSE,
    ("loss", "k2", "sequence"): REVERSE,
    ("loss", "k2", "token"): LOCAL["kl_policy_reference"],
    ("loss", "k3", "sequence"): FORWARD,
    ("loss", "k3", "token"): LOCAL["kl_reference_policy"],
    ("loss", "ratio_k3", "sequence"): REVERSE,
    ("loss", "ratio_k3", "token"): LOCAL["kl_policy_reference"],
    ("loss", "kl_policy_reference", "token"): LOCAL["kl_policy_reference"],
    ("loss", "kl_policy_reference", "to_go"): REVERSE,
    ("loss", "kl_reference_policy", "token"): LOCAL["kl_reference_policy"],
}


@pytest.mark.parametrize("setting", TABLE, ids="-".join)
def test_what_a_placement_of_the_divergence_minimises(setting):
    place, estimator, level = setting
    algorithm = PLACES[place](beta=0.7, estimator=estimator, level=level, baseline="none")
    got = expected_gradient(algorithm, ONE, POLICY, 1, {"total": NOTHING}, reference=REFERENCE)
    close(got, 0.7 * TABLE[setting])


def test_the_lines_of_the_table_differ():
    """So that a placement that did what another does would be seen."""
    kinds = [REVERSE, FORWARD, *LOCAL.values(), REVERSE - FORWARD, 0 * REVERSE]
    gaps = [(a - b).norm() for i, a in enumerate(kinds) for b in kinds[:i]]
    assert min(gaps) > 0.03


def test_the_divergence_is_the_sum_of_what_its_estimators_estimate():
    """The chain rule: KL(pi || pi0) = sum over prefixes of reach x KL of the next token = E[k1] = E[k3], by sequence or token."""
    p, q = ONE.logprobs(POLICY), ONE.logprobs(REFERENCE)
    weight, value = ONE.log_prob(POLICY).exp(), kl(POLICY, REFERENCE)
    close(local(POLICY, "kl_policy_reference"), value)
    for k in (k1, k3):
        close(weight @ k(p, q).sum(dim=1), value)
        close(weight @ k(p.sum(dim=1), q.sum(dim=1)), value)


def objective(x, beta):
    """J = E[R] - beta KL(pi || pi0)."""
    return ONE.log_prob(x).exp() @ REWARD - beta * kl(x, REFERENCE)


def posterior(beta):
    """log p*(o) of every completion, and log Z."""
    tilted = ONE.log_prob(REFERENCE) + REWARD / beta
    return tilted - tilted.logsumexp(0), tilted.logsumexp(0)


EXACT = {  # settings whose expected step is grad J itself
    "reward": KLInReward(beta=0.5),
    "reward, to go": KLInReward(beta=0.5, level="to_go"),
    "loss, squared": KLInLoss(beta=0.5, estimator="k2"),
    "loss, corrected": KLInLoss(beta=0.5, estimator="ratio_k3"),
    "loss, whole vocabulary": KLInLoss(beta=0.5, estimator="kl_policy_reference", level="to_go"),
    "rloo": RLOO(beta=0.5),
    "no baseline": KLInReward(beta=0.5, baseline="none"),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_expected_step_is_the_gradient_of_the_objective_and_of_the_divergence_to_its_optimum(name):
    got = expected_gradient(EXACT[name], ONE, POLICY, 2, {"total": REWARD}, reference=REFERENCE)
    close(got, -gradient(lambda x: objective(x, 0.5), POLICY))
    target = posterior(0.5)[0]
    close(got, 0.5 * gradient(lambda x: (ONE.log_prob(x).exp() * (ONE.log_prob(x) - target)).sum(), POLICY))


def test_the_groups_own_mean_shrinks_the_step_and_its_siblings_do_not():
    exact = gradient(lambda x: objective(x, 0.5), POLICY)
    got = expected_gradient(
        KLInReward(beta=0.5, baseline="group_mean"), ONE, POLICY, 2, {"total": REWARD}, reference=REFERENCE
    )
    close(got, -exact / 2)


@pytest.mark.parametrize("setting", [("reward", "k1", "sequence"), ("loss", "ratio_k3", "sequence")], ids="-".join)
def test_the_sequence_ratio_makes_another_policys_completions_exact(setting):
    place, estimator, level = setting
    algorithm = PLACES[place](beta=0.5, estimator=estimator, level=level, ratio="sequence")
    got = expected_gradient(algorithm, ONE, POLICY, 2, {"total": REWARD}, sampler=SAMPLER, reference=REFERENCE)
    close(got, -gradient(lambda x: objective(x, 0.5), POLICY))


def test_the_corrected_token_estimator_is_local_at_the_samplers_states():
    algorithm = KLInLoss(beta=1.0, estimator="ratio_k3", level="token", ratio="token", baseline="none")
    got = expected_gradient(algorithm, ONE, POLICY, 1, {"total": NOTHING}, sampler=SAMPLER, reference=REFERENCE)
    close(got, gradient(lambda x: local(x, "kl_policy_reference", SAMPLER), POLICY))


def test_the_derivative_of_the_corrected_token_estimator_is_ratio_times_log_ratio():
    """DeepSeek-V3.2's term, differentiated by hand."""
    rows = [3, 9]
    s = scored(ONE, rows, {"total": NOTHING}, policy=POLICY, sampler=SAMPLER, reference=REFERENCE)
    algorithm = KLInLoss(beta=1.0, estimator="ratio_k3", level="token", ratio="token", baseline="none")
    weights = algorithm.token_weights(s, LossNormalisers(1, 2, int(s.group.completion_mask.sum())))
    logprobs = ONE.logprobs(POLICY)[rows].requires_grad_()
    (got,) = torch.autograd.grad(
        algorithm.loss(Tokens(logprobs, torch.zeros_like(logprobs)), weights, s).sum(), logprobs
    )
    close(got, (logprobs - s.group.sampling_logprobs).exp().detach() * (logprobs - s.ref_logprobs).detach())


@pytest.mark.parametrize("name", EXACT)
def test_the_objective_is_bounded_by_the_evidence_and_rests_at_the_posterior(name):
    """J = beta log Z - beta KL(pi || p*); at p* it is beta log Z and its step is nothing."""
    target, log_z = posterior(0.5)
    p = ONE.log_prob(POLICY)
    close(objective(POLICY, 0.5), 0.5 * log_z - 0.5 * (p.exp() * (p - target)).sum())
    optimum = conditional(target)
    close(ONE.log_prob(optimum), target)
    close(objective(optimum, 0.5), 0.5 * log_z)
    got = expected_gradient(EXACT[name], ONE, optimum, 2, {"total": REWARD}, reference=REFERENCE)
    close(got, torch.zeros_like(got))


def conditional(target):
    """The logits whose completions have these log-probabilities: each token by all that comes through it."""
    mass = torch.zeros(ONE.prefixes, ONE.choices, dtype=torch.float64)
    for row, log in enumerate(target):
        for prefix, token in zip(ONE.prefix[row][ONE.mask[row]], ONE.tokens[row][ONE.mask[row]], strict=True):
            mass[prefix, token] += log.exp()
    return mass.log().clamp(min=-700)


BROKEN = {
    "the group's mean": KLInReward(beta=0.5, baseline="group_mean"),
    "a mean over a completion's own tokens": KLInReward(beta=0.5, loss_agg_mode="seq-mean-token-mean"),
    "another beta": KLInReward(beta=0.51),
    "GRPO's divergence": KLInLoss(beta=0.5, estimator="k3", level="token"),
    "a token without its future": KLInReward(beta=0.5, level="token"),
    "no ratio": KLInReward(beta=0.5),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_laws_see_a_deliberate_error(name):
    sampler = SAMPLER if name == "no ratio" else None
    got = expected_gradient(BROKEN[name], ONE, POLICY, 2, {"total": REWARD}, sampler=sampler, reference=REFERENCE)
    with pytest.raises(AssertionError):
        close(got, -gradient(lambda x: objective(x, 0.5), POLICY))


def test_without_divergence_a_policy_collapses_and_with_it_it_comes_to_the_posterior():
    bandit, reward = categorical(4), torch.tensor([1.0, 0.8, 0.2, 0], dtype=torch.float64)
    reference = bandit.logits(5)
    found = {}
    for beta in (0.0, 0.5):
        algorithm = KLInReward(beta=beta, baseline="none", **({"reference": None} if beta == 0 else {}))
        logits = reference.clone()
        for _ in range(80):
            step = expected_gradient(algorithm, bandit, logits, 1, {"total": reward}, reference=reference)
            logits = logits - 8 * step
        found[beta] = bandit.log_prob(logits)
    target = (bandit.log_prob(reference) + reward / 0.5).log_softmax(0)
    torch.testing.assert_close(found[0.5], target, atol=1e-4, rtol=0)
    entropy = {beta: -(p.exp() * p).sum() for beta, p in found.items()}
    assert entropy[0.0] < 0.2 < entropy[0.5]


BANDIT, COUNTS, RIGHT = categorical(4), (4, 2, 1, 1), torch.tensor([1.0, 1, 0, 0], dtype=torch.float64)
MANY = [outcome for outcome, count in enumerate(COUNTS) for _ in range(count)]  # a group that is its own expectation
SUCCESS = torch.tensor(0.75, dtype=torch.float64)
STD = (8 / 7 * SUCCESS * (1 - SUCCESS)).sqrt() + 1e-4  # of eight rewards, as GRPO takes it


@pytest.mark.parametrize(
    ("algorithm", "base"),
    [
        (GRPO(beta=1.0, baseline="none"), SUCCESS - SUCCESS * (1 - SUCCESS)),
        (GRPO(beta=1.0), SUCCESS - SUCCESS * (1 - SUCCESS) / STD),
        (KLInReward(beta=1.0, baseline="group_mean"), torch.sigmoid(SUCCESS.logit() - 1)),
        (KLInLoss(beta=1.0, baseline="group_mean_std", estimator="k2"), torch.sigmoid(SUCCESS.logit() - 1 / STD)),
    ],
    ids=["mean, k3 in the loss", "mean and std, k3 in the loss", "mean, KL", "mean and std, KL"],
)
def test_where_group_relative_updates_rest(algorithm, base):
    """Success s at rest, from a base success s0, for many siblings: with k3 in the loss s0 = s - s (1 - s) / (beta std),
    with the divergence itself logit s = logit s0 + 1 / (beta std); std 1 where rewards are only centred."""
    policy = torch.tensor(COUNTS, dtype=torch.float64).log()[None]
    within = torch.tensor(COUNTS, dtype=torch.float64) / torch.tensor([6.0, 6, 2, 2], dtype=torch.float64)
    reference = (within * torch.where(RIGHT > 0, base, 1 - base)).log()[None]
    for shift, rests in ((0.0, True), (0.05, False)):
        logits = (policy + shift * RIGHT).detach().requires_grad_()
        s = scored(BANDIT, MANY, {"total": RIGHT}, policy=logits.detach(), reference=reference)
        (step,) = torch.autograd.grad(step_loss(algorithm, BANDIT, logits, s, MANY), logits)
        assert (step.abs().max() < 1e-10) == rests


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"beta": -1.0}, "algorithm.beta: expected 0 or more"),
        ({"beta": 0.0}, "algorithm.beta: expected above 0"),
        ({"reference": None}, "algorithm.reference: expected one"),
        (
            {"level": "to_go", "baseline": "group_mean_std"},
            "algorithm.baseline: expected leave_one_out, group_mean or none",
        ),
        ({"epsilon": 0.2}, "algorithm.epsilon: expected ratio: token or sequence"),
        ({"loss_scale_factor": 0.0}, "algorithm.loss_scale_factor: expected a number of tokens above 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        KLInReward(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"estimator": "k2", "level": "to_go"}, "algorithm.level: expected sequence or token for k2"),
        ({"estimator": "kl_policy_reference"}, "algorithm.level: expected token or to_go"),
        ({"estimator": "kl_reference_policy", "level": "to_go"}, "algorithm.level: expected token for kl_reference"),
        (
            {"estimator": "kl_policy_reference", "level": "to_go", "baseline": "group_mean_std"},
            "algorithm.baseline: expected leave_one_out, group_mean or none",
        ),
        ({"epsilon": 0.2}, "algorithm.epsilon: expected ratio: token or sequence"),
    ],
)
def test_so_are_those_of_a_divergence_in_the_loss(settings, said):
    with pytest.raises(ValueError, match=said):
        KLInLoss(**settings)


def test_who_reads_what_for_a_divergence():
    """In the reward it is of the policy before the update; in the loss only what follows a token is."""
    assert KLInReward().needs.old_logprobs
    assert not KLInLoss().needs.old_logprobs
    exact = KLInLoss(estimator="kl_policy_reference", level="to_go").needs
    assert (exact.old_logprobs, exact.full_vocabulary_kl) == (True, "kl_policy_reference")
    alone = KLInReward(beta=0.0, reference=None).needs
    assert (alone.reference, alone.old_logprobs) == (None, False)


def test_a_group_of_one_has_no_siblings():
    s = scored(ONE, [2], {"total": REWARD}, policy=POLICY, reference=REFERENCE)
    with pytest.raises(ValueError, match="group size: expected 2 or more"):
        KLInReward().token_weights(s, LossNormalisers(1, 1, 3))
