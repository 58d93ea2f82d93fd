"""Every law of targets and of their partition functions sees a mistake of the kind that is easily made."""

import math

import pytest
import torch

from mmrl.functional.targets import Cautious, Constraint, Ensemble, Exponential, Tilt, estimates, factors
from tests.functional.targets import test_factors, test_partition


def over_n(log_weight, past=None, count=0.0):
    """The mean of the others, taken over everybody."""
    n = len(log_weight)
    return estimates.leave_one_out(log_weight, past, count) + math.log(n - 1 + count) - math.log(n + count)


def with_oneself(log_weight, past=None, count=0.0):
    """Nobody is left out."""
    return estimates.plug_in(log_weight)


def unpooled(log_weight, past=None, count=0.0):
    """The past counts as one sample, whatever it is made of."""
    return estimates.leave_one_out(log_weight, past, min(count, 1.0))


def by_beta(self, rewards):
    """Times beta, where it is over beta."""
    return rewards[self.reward] * self.beta


MISTAKES = {  # law -> (where, what is replaced, by what), more than one where it has several sides
    test_partition.test_logarithms_of_means_do_not_underflow: [
        (test_partition, "log_mean_exp", lambda w: w.exp().mean().log()),
        (test_partition, "log_mean_exp", lambda w: w.logsumexp(dim=0)),
    ],
    test_partition.test_leaving_one_out_is_the_mean_of_the_others: [
        (test_partition, "leave_one_out", over_n),
        (test_partition, "leave_one_out", with_oneself),
    ],
    test_partition.test_the_past_is_pooled_with_the_others: [
        (test_partition, "leave_one_out", unpooled),
        (test_partition, "leave_one_out", with_oneself),
    ],
    test_partition.test_offline_estimates_shrink_as_the_formula_for_few_successes: [
        (test_partition, "offline", lambda w, bounds=None: estimates.log_mean_exp(w)),
    ],
    test_partition.test_without_any_mass_the_floor_stands_in_and_bounds_cut: [
        (test_partition, "clamp_log_z", lambda w, bounds=None: w),
    ],
    test_factors.test_the_posterior_by_hand: [(Tilt, "log_weight", by_beta)],
    test_factors.test_the_optimum_of_regularised_reward_is_the_posterior_and_the_bound_holds: [
        (Tilt, "log_weight", by_beta),
        (test_factors, "log_weight", lambda these, rewards: 2 * factors.log_weight(these, rewards)),
    ],
    test_factors.test_reward_scale_and_shift_leave_the_target: [
        (Tilt, "log_weight", lambda self, rewards: rewards[self.reward].square() / self.beta),
    ],
    test_factors.test_a_constraint_is_the_limit_of_a_tilt: [
        (Constraint, "log_weight", lambda self, rewards: torch.where(rewards[self.reward] > 0, 1.0, 0.0)),
    ],
    test_factors.test_a_floor_is_a_tilt_by_its_logarithm: [
        (Constraint, "log_weight", lambda self, rewards: torch.where(rewards[self.reward] > 0, 0.0, self.floor)),
    ],
    test_factors.test_products_add_in_log_space: [
        (Exponential, "log_weight", lambda self, rewards: torch.zeros_like(rewards["total"])),
        (test_factors, "bounds", lambda these: these[0].bounds),
    ],
    test_factors.test_uncertain_praise_moves_less: [
        (Cautious, "log_weight", lambda self, r: torch.stack([r[n] for n in self.members]).mean(dim=0) / self.beta),
    ],
    test_factors.test_an_ensemble_averages_the_odds_and_not_the_rewards: [
        (Ensemble, "log_weight", lambda self, r: torch.stack([r[n] for n in self.members]).mean(dim=0) / self.beta),
    ],
    test_factors.test_a_threshold_makes_a_verifier_of_a_score: [
        (Constraint, "log_weight", lambda self, r: torch.where(r[self.reward] > self.at_least, 0.0, -math.inf)),
    ],
}


@pytest.mark.parametrize(
    ("law", "mistake"),
    [(law, mistake) for law, mistakes in MISTAKES.items() for mistake in mistakes],
    ids=lambda one: getattr(one, "__name__", "")[5:] or one[1],
)
def test_a_law_sees_a_mistake(law, mistake, monkeypatch):
    monkeypatch.setattr(*mistake)
    with pytest.raises(AssertionError):
        law()


def test_every_law_is_shown_to_see_one():
    laws = {
        law
        for module in (test_factors, test_partition)
        for name, law in vars(module).items()
        if name.startswith("test_") and callable(law) and not getattr(law, "pytestmark", ())
    }
    assert laws - set(MISTAKES) == {test_partition.test_one_completion_has_no_others}  # an error message
