"""The sign-flip test against brute force, and its size under a clustered null."""

import numpy as np
import pytest

from mmrl.statistics import sign_flip
from tests.statistics.made import brute_force


def test_sign_flip_is_exact_for_few_clusters():
    change, clusters = [1.0, 0.5, 2.0, -0.5, 0.25, 1.0, 0.0], list("aabbcde")
    assert sign_flip(change, clusters) == pytest.approx(brute_force([1.5, 1.5, 0.25, 1.0]))


def test_sign_flip_of_all_positive_changes_worked_by_hand():
    assert sign_flip([1.0] * 5, range(5)) == pytest.approx(2 / 2**5)


def test_sign_flip_of_many_clusters_never_claims_zero():
    assert 0 < sign_flip([1.0] * 100, range(100)) <= 0.001


def test_sign_flip_keeps_its_level():
    generator = np.random.default_rng(14)
    rejected = sum(sign_flip(generator.normal(size=9), range(9)) <= 0.05 for _ in range(300))
    assert rejected / 300 <= 0.08  # 0.05 plus 2.4 standard errors
