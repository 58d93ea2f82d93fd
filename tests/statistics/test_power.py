"""Minimum detectable effects: the facts sheet, closed forms, and the power they promise."""

import math

import numpy as np
import pytest

from mmrl.statistics import minimum_detectable_effect


@pytest.mark.parametrize(("n", "points"), [(300, 7.2), (600, 5.1), (1200, 3.6), (2400, 2.6)])
def test_minimum_detectable_effect_of_the_facts_sheet(n, points):
    assert 100 * minimum_detectable_effect(0.2, n) == pytest.approx(points, abs=0.05)


def test_minimum_detectable_effect_is_detected_four_times_in_five():
    generator, n = np.random.default_rng(15), 600
    effect = minimum_detectable_effect(0.2, n)
    signs = generator.choice([1, 0, -1], p=[0.1 + effect / 2, 0.8, 0.1 - effect / 2], size=(400, n))
    z = signs.mean(1) / (signs.std(1, ddof=1) / math.sqrt(n))
    assert (np.abs(z) > 1.96).mean() == pytest.approx(0.8, abs=0.05)
