"""The ceilings of octets, and that they catch the designs that did not work."""

from dataclasses import replace

import pytest

from benchmark.procbench.ceilings import (
    INFORMATION,
    all_leaks,
    ceiling,
    ceilings,
    cells,
    cue_right,
    leaks,
    means,
    of_families,
)
from benchmark.procbench.items import Item, drawn
from mmrl.world.script import FAMILIES, Event
from tests.benchmark.procbench.bad_designs import next_step_items, quads, siblings, without_tail

FACTS = {  # best fixed event, mean event, first half: the prototype's own 1,500 octets a family
    "FILL": (66.8, 62.5, 83.4),
    "STACK": (70.5, 66.7, 94.5),
    "COUNT": (72.0, 68.8, 98.7),
    "SHELL": (70.2, 66.7, 94.8),
    "ROUTE": (71.4, 62.5, 98.5),
    "DRY": (70.6, 66.7, 95.0),
    "UNDO": (71.8, 56.2, 55.5),
    "KEY": (71.3, 62.5, 98.8),
    "MIX": (60.5, 58.3, 80.5),
    "DELIVER": (71.7, 68.8, 98.7),
}
RED, BLUE = (Event(0, "put", colour, "left") for colour in ("red", "blue"))


OCTETS = 200


def drawn_table(octets):
    return of_families([item for family in FAMILIES for item in drawn(family, octets, seed=0)])


def assert_as_in_the_facts(table, octets):
    """The mean event is the design's own. The rest depends on how events happen to lie: an octet's best event varies by
    12 points, its first half by 25, and two tables are compared, ours and one of 1,500 octets a family."""
    sure = 4 * (1 / octets + 1 / 1500) ** 0.5
    for family, (best, mean, half) in FACTS.items():
        rows = table[family].rows
        assert rows["mean_event"] == pytest.approx(mean, abs=0.06), family  # rounded in the facts
        assert rows["best_event"] == pytest.approx(best, abs=12 * sure), family
        assert rows["first_half"] == pytest.approx(half, abs=25 * sure), family
        assert rows["unordered"] == (50 if FAMILIES[family].ordered else 100), family


@pytest.fixture(scope="module")
def table():
    return drawn_table(OCTETS)


def test_no_family_leaks(table):
    assert list(table) == list(FAMILIES) == list(FACTS)
    assert all_leaks(table) == []


def test_families_have_the_ceilings_of_the_facts(table):
    assert_as_in_the_facts(table, OCTETS)


@pytest.mark.slow("as above with 1,500 octets")
def test_no_family_leaks_in_as_many_octets_as_the_facts_count():
    table = drawn_table(1500)
    assert all_leaks(table) == []
    assert_as_in_the_facts(table, 1500)


def test_shuffled_frames_reach_three_quarters_on_either_side(table):
    assert {part: rows["unordered"] for part, rows in means(table).items()} == {
        "training families": 75.0,
        "held-out families": 75.0,
    }


def test_one_event_tells_of_one_station_at_most(table):
    assert max(max(found.events) for found in table.values()) < 75
    assert all(found.rows["last_station_event"] <= 75 for found in table.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_more_information_never_hurts(family):
    rows = ceilings(drawn(family, 20, seed=1)).rows
    assert rows["blind"] <= rows["observation"] <= rows["last_event"] <= rows["unordered"] <= rows["everything"]
    assert rows["blind"] <= rows["video"] <= rows["everything"]
    assert rows["observation"] <= rows["mean_event"] <= rows["best_event"] <= rows["everything"]


def item(events, lamp, gold):
    return Item("group", "FILL", "what next?", ("a", "b", "c", "d"), tuple(events), lamp, gold)


def test_a_ceiling_worked_by_hand():
    items = [
        item([RED], "left", 0),
        item([RED], "left", 0),
        item([BLUE], "left", 1),
        item([RED], "right", 2),
        item([RED], "right", 3),
    ]
    assert ceiling([items], INFORMATION["blind"]) == 40  # two of five are 0
    assert ceiling([items], INFORMATION["observation"]) == 60  # left: 0 0 1, two of three; right: 2 3, one of two
    assert ceiling([items], INFORMATION["video"]) == 60  # red: 0 0 2 3, two of four; blue: one of one
    assert ceiling([items], INFORMATION["everything"]) == 80  # left red 2, left blue 1, right red one of two


def test_order_is_what_an_unordered_solver_lacks():
    first, second = (replace(RED, slot=0), replace(BLUE, slot=1)), (replace(BLUE, slot=0), replace(RED, slot=1))
    items = [item(first, "left", 0), item(second, "left", 1)]
    assert ceiling([items], INFORMATION["unordered"]) == 50
    assert ceiling([items], INFORMATION["video"]) == 100


def test_an_item_that_reads_differently_is_told_apart_by_its_text():
    octet = drawn("FILL", 1, seed=0)
    marked = [
        replace(one, options=tuple(o + " !" * (i == one.gold) for i, o in enumerate(one.options))) for one in octet
    ]
    found = ceilings(marked)
    assert found.rows["blind"] == 100
    assert "FILL: text + options (blind): expected exactly 25, found 100.00" in leaks("FILL", found, ordered=False)


def test_an_observation_that_differs_with_the_video_is_a_leak():
    octet = drawn("STACK", 10, seed=0)
    shown = [replace(one, lamp=f"{one.lamp} {one.gold % 2}") for one in octet]
    assert any(
        "observation only: expected exactly 50" in line for line in leaks("STACK", ceilings(shown), ordered=True)
    )


def test_quads_with_one_shared_bit_look_sound_and_tell_all_with_their_first_event():
    found = ceilings(quads("STACK", 50))
    assert (found.rows["blind"], found.rows["observation"], found.rows["video"]) == (25, 50, 50)
    assert found.events[0] == 100
    lines = leaks("STACK", found, ordered=True)
    assert "STACK: observation + best fixed single event: expected at most 74, found 100.00 (event 0)" in lines


def test_quads_without_a_shared_tail_tell_most_with_their_last_event():
    found = ceilings(without_tail(quads("FILL", 1000, irrelevant=True)))
    # Facts: 82. The last of three events is irrelevant in one of three clips: 2/3 * 100 + 1/3 * 50 = 83.3.
    assert found.rows["last_event"] == pytest.approx(83.3, abs=2)
    assert any("observation + last event: expected exactly 50" in line for line in leaks("FILL", found, ordered=False))


@pytest.mark.parametrize("family", FAMILIES)
def test_octets_without_a_shared_tail_are_caught(family):
    found = ceilings(without_tail(drawn(family, 20, seed=0)))
    lines = leaks(family, found, FAMILIES[family].ordered)
    assert any("observation + last event: expected exactly 50" in line for line in lines)


@pytest.mark.parametrize("near", [False, True])
def test_a_fixed_plan_is_known_from_its_last_event(near):
    found = ceilings(siblings(next_step_items(1500, near=near)))
    assert found.rows["last_event"] == found.rows["video"] == 100
    lines = leaks("plans", found, ordered=True)
    assert "plans: observation + last event: expected exactly 50, found 100.00" in lines
    assert "plans: video only: expected exactly 50, found 100.00" in lines


def test_letters_that_are_not_balanced_are_caught():
    octet = drawn("FILL", 4, seed=0)
    found = ceilings([replace(one, gold=0) if one.gold == 1 else one for one in octet])
    assert "FILL: letters: expected each right equally often, found {'A': 16, 'B': 0, 'C': 8, 'D': 8}" in leaks(
        "FILL", found, ordered=False
    )


def test_the_share_of_cues_that_are_right():
    octet = drawn("FILL", 1, seed=0)
    assert cue_right(octet) is None
    cued = [replace(one, cue=one.gold if index < 6 else (one.gold + 1) % 4) for index, one in enumerate(octet)]
    assert cue_right(cued) == 75


def test_the_table_has_a_column_a_family():
    header, lines = cells(of_families([item for name in ("FILL", "KEY") for item in drawn(name, 5, seed=0)]))
    assert header == ["information", "FILL", "KEY"]
    assert lines[0] == ["text + options (blind)", "25.0", "25.0"]
    assert lines[-1] == ["everything", "100.0", "100.0"]
