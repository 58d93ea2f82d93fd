"""Baselines that need no network."""

from dataclasses import replace

import numpy as np
import pytest

from benchmark.procbench.baselines import (
    baselines,
    cells,
    longest,
    majority,
    measured,
    natural_splits,
    scored,
    splits,
    whole_groups,
)
from benchmark.procbench.items import NAT, drawn


@pytest.fixture(scope="module")
def octets():
    return splits(octets=12, taught=12, seed=0)


def test_text_says_nothing_of_octets_and_the_script_says_all(octets):
    found = baselines(octets, seed=0)
    assert len(found) == 3 * 8
    for one in found:
        oracle = one.name == "symbolic oracle"
        assert one.accuracy == (1 if oracle else 0.25), one
        assert (one.items, one.groups) == (96, 12)
        assert one.clustered_error == 0
        assert (one.low, one.high) == (pytest.approx(0.7575, abs=1e-4), 1) if oracle else (0.25, 0.25)


def test_chance_gets_a_whole_octet_once_in_65536(octets):
    chance = next(one for one in baselines(octets, seed=0) if one.name == "uniform chance")
    assert chance.group_accuracy == pytest.approx(4.0**-8)


def test_natural_items_are_measured_apart():
    found = baselines(natural_splits(items=24, taught=48, seed=0), seed=0)
    assert {one.stratum for one in found} == {NAT}
    assert "symbolic oracle" not in {one.name for one in found}
    assert all(0 <= one.low <= one.accuracy <= one.high <= 1 for one in found)
    header, lines = cells(found)
    assert header == ["baseline", "L1 nat", "L2 nat", "L3 nat"]
    assert lines[0] == ["uniform chance", "25.0", "25.0", "25.0"]
    assert "[" in lines[1][1]


def test_the_most_frequent_letter_and_the_longest_option_take_the_first_of_several():
    item = drawn("FILL", 1, seed=0)[0]
    assert majority([replace(item, gold=gold) for gold in (3, 1, 1, 3, 0)]) == 1
    assert longest(replace(item, options=("on", "left", "four", "or"))) == 1


def test_whole_groups_worked_by_hand():
    # a: 1 * 1 = 1; b: 1 * 0 = 0; c: 0.5 * 0.5 = 0.25; mean 1.25 / 3
    assert whole_groups(np.array([1, 1, 1, 0, 0.5, 0.5]), list("aabbcc")) == pytest.approx(1.25 / 3)


def test_intervals_count_groups():
    items = drawn("FILL", 4, seed=0)
    scores = scored(items, [item.gold if item.group < "FILL-00002" else 9 for item in items])
    found = measured("L1", "half", items, scores)
    # groups score 1, 1, 0, 0: residual sums 4, 4, -4, -4; SE^2 = 64 / 32^2 * 4 / 3 = 1 / 12
    assert found.clustered_error == pytest.approx((1 / 12) ** 0.5)
    assert (found.accuracy, found.group_accuracy, found.groups) == (0.5, 0.5, 4)
    assert (found.low, found.high) == (0, 1)
