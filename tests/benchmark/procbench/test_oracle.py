"""Rules written twice agree: the world's state machine and the benchmark's own reading of the table of families."""

from dataclasses import replace

import pytest

from benchmark.procbench import oracle
from benchmark.procbench.items import Item, drawn
from mmrl.world.script import FAMILIES, Event


@pytest.mark.parametrize("family", FAMILIES)
def test_both_readings_of_the_rules_agree(family):
    items = drawn(family, 200, seed=7)
    assert [oracle.option(item) for item in items] == [item.gold for item in items]


def test_a_tower_is_rebuilt_from_its_lowest():
    item = Item(
        group="one",
        family="STACK",
        question="what next? fetch the lowest first: left red and blue, right green and white",
        options=(
            "on the right fetch green",
            "on the left fetch blue",
            "on the left fetch red",
            "on the right fetch white",
        ),
        events=(Event(0, "put", "white", "right"), Event(2, "put", "red", "left"), Event(5, "put", "blue", "left")),
        lamp="left",
        gold=2,
    )
    assert oracle.option(item) == 2
    assert oracle.option(replace(item, lamp="right")) == 3


def test_an_option_that_is_not_there_is_refused():
    item = drawn("FILL", 1, seed=0)[0]
    with pytest.raises(ValueError, match="expected one option for"):
        oracle.option(replace(item, options=("on the left put mud",) * 4))
    with pytest.raises(ValueError, match="station's two colours"):
        oracle.option(replace(item, question="what next?"))
