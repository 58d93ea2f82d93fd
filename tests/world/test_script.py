"""What the symbols promise: the state machine by hand, the rules, and which families ask for the order of events."""

from itertools import permutations

import pytest

from mmrl.world.script import (
    BOTH,
    COLOURS,
    FAMILIES,
    KEY,
    PLACES,
    STATIONS,
    THINGS,
    VERBS,
    Event,
    Station,
    after,
    holds,
    needed,
)

MATS, THIRD_COLOUR = ("red", "blue"), "white"
FLIPS = range(6)


@pytest.mark.parametrize(
    ("family", "bit", "flip", "deeds", "held", "colour"),
    [  # every family's table row with a = red, b = blue, n = white; flips where they matter
        ("FILL", 0, 0, "put red", "red", "blue"),
        ("FILL", 1, 0, "put blue", "blue", "red"),
        ("STACK", 0, 0, "put red, put blue", "red blue", "red"),
        ("STACK", 1, 0, "put blue, put red", "blue red", "blue"),
        ("COUNT", 0, 0, "put blue, put red, put red", "blue red red", "blue"),
        ("COUNT", 0, 1, "put red, put blue, put red", "red blue red", "blue"),
        ("COUNT", 1, 5, "put blue, put blue, put red", "blue blue red", "red"),
        ("SHELL", 0, 0, "hide red, swap both", "blue", "blue"),
        ("SHELL", 1, 0, "swap both, hide red", "red", "red"),
        ("SHELL", 0, 1, "hide blue, swap both", "red", "red"),
        ("SHELL", 1, 1, "swap both, hide blue", "blue", "blue"),
        ("ROUTE", 0, 0, "visit red, visit white, visit blue", "red white blue", "blue"),
        ("ROUTE", 1, 0, "visit blue, visit white, visit red", "blue white red", "red"),
        ("DRY", 0, 0, "dry red, dab blue", "red", "blue"),
        ("DRY", 0, 1, "dab blue, dry red", "red", "blue"),
        ("DRY", 1, 0, "dab red, dry blue", "blue", "red"),
        ("UNDO", 0, 0, "put red, put blue, take blue", "red", "blue"),
        ("UNDO", 1, 0, "put red, put blue, take red", "blue", "red"),
        ("UNDO", 1, 1, "put blue, put red, take red", "blue", "red"),
        ("KEY", 0, 0, "close red, drop key, close blue", "blue", "blue"),
        ("KEY", 1, 0, "close blue, drop key, close red", "red", "red"),
        ("MIX", 0, 0, "pour red, pour white", "red white", "blue"),
        ("MIX", 1, 1, "pour white, pour blue", "white blue", "red"),
        ("DELIVER", 0, 0, "put red, put blue, swap both", "blue", "red"),
        ("DELIVER", 1, 0, "swap both, put red, put blue", "red", "blue"),
        ("DELIVER", 0, 1, "put blue, put red, swap both", "blue", "red"),
        ("DELIVER", 1, 1, "swap both, put blue, put red", "red", "blue"),
    ],
)
def test_the_families_by_hand(family, bit, flip, deeds, held, colour):
    kind = FAMILIES[family]
    done = kind.deeds(MATS, THIRD_COLOUR, bit, flip)
    assert ", ".join(" ".join(deed) for deed in done) == deeds
    found = kind.held(after(done, MATS))
    assert " ".join(found) == held
    assert needed(kind, found, MATS, THIRD_COLOUR) == colour


@pytest.mark.parametrize(
    ("deeds", "state"),
    [
        ("take red", {}),  # in vain: nothing there
        (
            "put red, put blue, put red, take red",
            {"pile": ("red", "blue"), "on": (("red", "red"), ("blue",))},
        ),  # topmost
        ("put green", {"pile": ("green",)}),  # stands on neither mat
        ("dab red", {}),
        ("open red", {}),  # is open
        ("close red, open red", {}),
        ("close red, drop key", {"shut": {"red"}, "key": ("blue",)}),
        ("drop key", {}),  # both are open: it lies about
        ("close red, close blue, drop key", {"shut": {"red", "blue"}}),  # none is
        ("close red, drop key, swap both, open red", {"key": ("blue",)}),  # drawers stay where they are
        ("hide red, swap both, swap both", {"on": (("ball",), ())}),
        ("hide red, put red, swap both", {"pile": ("red",), "on": ((), ("ball", "red"))}),
        ("visit red, visit green", {"stops": ("red", "green")}),
        ("dry red, dab red, pour blue", {"dried": ("red",), "pile": ("blue",)}),
    ],
)
def test_the_state_machine_by_hand(deeds, state):
    pairs = [tuple(deed.split()) for deed in deeds.split(", ")]
    assert after(pairs, MATS) == Station(MATS, **{k: frozenset(v) if k == "shut" else v for k, v in state.items()})


@pytest.mark.parametrize(
    ("family", "held", "colour"),
    [
        ("FILL", "red", "blue"),
        ("FILL", "", None),
        ("FILL", "red blue", None),
        ("FILL", "green", None),
        ("FILL", "green red", "blue"),
        ("STACK", "blue red", "blue"),
        ("STACK", "green red", None),
        ("STACK", "", None),
        ("COUNT", "red blue red", "blue"),
        ("COUNT", "blue", "red"),
        ("COUNT", "red blue", None),
        ("COUNT", "", None),
        ("ROUTE", "red white blue", "blue"),
        ("ROUTE", "red white", None),
        ("MIX", "red white", "blue"),
        ("MIX", "red blue", "white"),
        ("MIX", "red", None),
        ("UNDO", "white red", "blue"),
    ],
)
def test_the_rules_by_hand(family, held, colour):
    assert needed(FAMILIES[family], tuple(held.split()), MATS, THIRD_COLOUR) == colour


@pytest.mark.parametrize("family", FAMILIES)
def test_the_two_bits_ask_for_the_two_colours(family):
    kind = FAMILIES[family]
    for flip in FLIPS:
        asked = [
            needed(kind, kind.held(after(kind.deeds(MATS, THIRD_COLOUR, bit, flip), MATS)), MATS, THIRD_COLOUR)
            for bit in (0, 1)
        ]
        assert set(asked) == set(MATS)
        assert all(len(kind.deeds(MATS, THIRD_COLOUR, bit, flip)) == kind.events for bit in (0, 1))


def in_vain(deeds: tuple[tuple[str, str], ...]) -> bool:
    """Whether something is taken that is not there."""
    return any(verb == "take" and ("put", thing) not in deeds[:i] for i, (verb, thing) in enumerate(deeds))


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_ordered_families_ask_for_the_order(family):
    """Some other order of a station's events asks for another action, or for none; of the rest, no order that can be."""
    kind = FAMILIES[family]
    for flip in FLIPS:
        bags = []
        for bit in (0, 1):
            deeds = kind.deeds(MATS, THIRD_COLOUR, bit, flip)
            orders = [order for order in permutations(deeds) if not in_vain(order)]
            asked = {needed(kind, kind.held(after(order, MATS)), MATS, THIRD_COLOUR) for order in orders}
            assert (len(asked) > 1) == kind.ordered
            bags.append(sorted(deeds))
        assert (bags[0] == bags[1]) == kind.ordered  # so unordered events tell nothing of the bit, or all


def test_half_of_the_families_are_ordered_in_training_and_beyond():
    split = [[kind.ordered for kind in FAMILIES.values() if kind.held_out == out] for out in (False, True)]
    assert [(len(kinds), sum(kinds)) for kinds in split] == [(6, 3), (4, 2)]


def test_stations_do_not_mind_each_other_and_slots_are_the_order():
    events = [
        Event(5, "put", "blue", "left"),
        Event(1, "put", "red", "left"),
        Event(0, "put", "green", "right"),
        Event(2, "take", "red", "top"),
        Event(3, "take", "red", "right"),
    ]
    assert holds(FAMILIES["STACK"], events, "left", MATS) == ("red", "blue")
    assert holds(FAMILIES["STACK"], events, "right", ("green", "cyan")) == ("green",)
    assert holds(FAMILIES["STACK"], [], "left", MATS) == ()


@pytest.mark.parametrize("verb", VERBS)
def test_every_deed_can_be_done_to_all_its_things_in_any_family(verb):
    for thing in THINGS[verb]:
        for kind in FAMILIES.values():
            kind.held(after([(verb, thing)] * 2, MATS))


def test_names_do_not_overlap():
    assert len({*COLOURS, *PLACES, *VERBS, BOTH, KEY}) == len(COLOURS) + len(PLACES) + len(VERBS) + 2
    assert set(STATIONS) < set(PLACES)
