"""Estimates of Z: exact where all is listed, independent of the sample they divide, usable without successes."""

import math

import pytest
import torch

from mmrl.functional.targets import clamp_log_z, leave_one_out, log_mean_exp, offline, plug_in

W = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=torch.float64)
NOTHING = torch.full((4,), -math.inf, dtype=torch.float64)


def test_logarithms_of_means_do_not_underflow():
    w = torch.tensor([-1200.0, -1400, -2000], dtype=torch.float64)
    assert log_mean_exp(w).item() == pytest.approx(-1200 - math.log(3), abs=1e-12)
    assert log_mean_exp(W).item() == pytest.approx(W.exp().mean().log().item(), abs=1e-12)
    torch.testing.assert_close(plug_in(W), W.exp().mean().log().expand(4))


def test_leaving_one_out_is_the_mean_of_the_others():
    expected = torch.stack([W[torch.arange(4) != i].exp().mean().log() for i in range(4)])
    torch.testing.assert_close(leave_one_out(W), expected)


def test_the_past_is_pooled_with_the_others():
    past = torch.tensor([1.0, -0.5], dtype=torch.float64)
    got = leave_one_out(W, past.logsumexp(dim=0), 2)
    expected = torch.stack([torch.cat([W[torch.arange(4) != i], past]).exp().mean().log() for i in range(4)])
    torch.testing.assert_close(got, expected)
    assert leave_one_out(W[:1], past.logsumexp(dim=0), 2).item() == pytest.approx(past.exp().mean().log().item())


def test_one_completion_has_no_others():
    with pytest.raises(ValueError, match=r"leave-one-out Z: expected 2 or more completions, found 1"):
        leave_one_out(W[:1])


def test_offline_estimates_shrink_as_the_formula_for_few_successes():
    beta, k, n = 0.5, 3, 8
    reward = torch.tensor([1.0] * k + [0.0] * (n - k), dtype=torch.float64)
    s0 = (k + 0.5) / (n + 1)
    tilt = offline(reward / beta, (0.0, 1 / beta))
    assert tilt.item() == pytest.approx(math.log(1 + s0 * math.expm1(1 / beta)), abs=1e-12)
    verified = torch.where(reward > 0, 0.0, -math.inf).double()
    assert offline(verified, (-math.inf, 0.0)).item() == pytest.approx(math.log(s0), abs=1e-12)
    assert offline(NOTHING, (-math.inf, 0.0)).item() == pytest.approx(math.log(0.5 / 5), abs=1e-12)
    torch.testing.assert_close(offline(W), log_mean_exp(W))


def test_without_any_mass_the_floor_stands_in_and_bounds_cut():
    assert clamp_log_z(plug_in(NOTHING)).tolist() == pytest.approx([math.log(1e-4)] * 4)
    assert clamp_log_z(W, (-0.5, 1.0)).tolist() == [0.3, -0.5, 1.0, 0.5]
