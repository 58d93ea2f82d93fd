"""Readers of text stay at chance on octets, and do not on the samplers that give answers away."""

from dataclasses import replace

import numpy as np
import pytest

from benchmark.procbench import audit
from benchmark.procbench.audit import VIEWS, finding, findings, interval, last_event, leaks, nothing, one_by_one, slots
from benchmark.procbench.items import drawn
from mmrl.world.script import FAMILIES
from tests.benchmark.procbench.bad_designs import next_step_items


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    """What is asserted here holds for few trees as well."""
    monkeypatch.setattr(audit, "TREES", 20)


@pytest.fixture(scope="module")
def octets():
    return [item for family in FAMILIES for item in drawn(family, 2, seed=0)]


def test_readers_of_octets_are_at_chance_in_every_octet(octets):
    found = findings(octets)
    assert len(found) == 8  # two learners, two views, without and with the last event
    assert all(one.accuracy == one.low == one.high == 0.25 for one in found)
    assert leaks(octets, found) == []


def test_a_mark_on_the_right_option_is_found(octets):
    marked = [
        replace(one, options=tuple(o + " !" * (i == one.gold) for i, o in enumerate(one.options))) for one in octets
    ]
    found = [finding(marked, "logistic regression", view) for view in VIEWS]
    assert all(one.accuracy > 0.99 for one in found)
    lines = leaks(marked, found)
    assert len(lines) == 2
    assert lines[0].startswith("logistic regression on slots, text: expected 25 in every group, found 100.00")


def test_letters_that_are_not_balanced_are_found(octets):
    assert leaks([replace(one, gold=0) for one in octets], []) == [
        "letters: expected each right equally often, found {'A': 160, 'B': 0, 'C': 0, 'D': 0}"
    ]


@pytest.mark.slow("a leak of two points takes 2,000 items to see; the leaks below are seen in 600")
def test_uniform_distractors_of_a_fixed_plan_leak_a_little():
    found = finding(next_step_items(2000, near=False), "logistic regression", "slots")
    assert found.low > 0.25  # facts: 27 to 28 %; the first step is never right
    assert found.accuracy < 0.32


def test_distractors_that_are_near_in_time_leak_much():
    found = finding(next_step_items(600, near=True), "random forest", "options")
    assert found.low > 0.35  # facts: 46 %; the right step lies in the middle


def test_a_fixed_plan_is_learnt_from_its_last_event():
    items = next_step_items(500, near=False)
    found = finding(items, "logistic regression", "options", last_event)
    assert found.accuracy > 0.95  # facts: 75 to 99 %
    assert found.shown == "text + last event"


def test_documents_say_which_slot_and_which_option_a_word_is_of():
    item = replace(drawn("FILL", 1, seed=0)[0], question="what next", options=("put red", "put blue", "go", "stay"))
    assert slots(item, nothing) == ["Q=what Q=next A=put A=red B=put B=blue C=go D=stay "]
    first = one_by_one(item, last_event)[0].split()
    assert {"own=red", "others=blue", "others=stay", "letter=A", "characters=7", "close_all_lids&own=red"} <= set(first)
    assert "own=blue" not in first


def test_an_interval_is_a_point_only_where_the_design_fixes_every_group():
    groups = ["a"] * 4 + ["b"] * 4
    assert interval(np.array([1, 0, 0, 0, 0, 0, 1, 0.0]), groups) == (0.25, 0.25)
    low, high = interval(np.ones(8), groups)
    assert (high, low < 0.5) == (1, True)  # two groups, all right: Wilson's interval of 2 of 2
    low, high = interval(np.array([1, 1, 0, 0, 0, 0, 1, 0.0]), groups)
    assert (low, high) == (pytest.approx(0.25), pytest.approx(0.5))
