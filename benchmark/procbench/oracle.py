"""The right option from the script, by rules written a second time from the table of families.

Nothing of mmrl's state machine is used: where both agree, neither misreads the table.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from benchmark.procbench.items import Item

Deeds = Sequence[tuple[str, str]]  # verb and thing, in order, at one station
Pair = tuple[str, str]  # the station's colours as the goal names them


def option(item: Item) -> int:
    """Return index of the option that the rules ask for. Raises ValueError if it is not there exactly once."""
    deeds = [(event.verb, event.thing) for event in item.events if event.place == item.lamp]
    colour = RULES[item.family](deeds, colours(item))
    fitting = [i for i, words in enumerate(item.options) if {item.lamp, colour} <= set(words.split())]
    if len(fitting) != 1:
        raise ValueError(f"{item.group}: expected one option for {colour} at the {item.lamp}, found {item.options}")
    return fitting[0]


def colours(item: Item) -> Pair:
    """Return the two colours that the goal gives to the lamp's station."""
    found = re.search(rf"\b{item.lamp} (\w+) and (\w+)", item.question)
    if found is None:
        raise ValueError(f"{item.group}: expected the {item.lamp} station's two colours in {item.question!r}")
    return found[1], found[2]


def things(deeds: Deeds, verb: str) -> list[str]:
    """Return what a verb was done to, in order."""
    return [thing for done, thing in deeds if done == verb]


def other(pair: Pair, colour: str) -> str:
    """Return the pair's other colour."""
    return pair[1] if colour == pair[0] else pair[0]


def shell(deeds: Deeds, pair: Pair) -> str:
    """The ball stays where it was hidden if the swap came before."""
    (mat,) = things(deeds, "hide")
    return other(pair, mat) if deeds[-1][0] == "swap" else mat


def mix(deeds: Deeds, pair: Pair) -> str:
    """Return the paint that was not poured."""
    (missing,) = set(pair) - set(things(deeds, "pour"))
    return missing


def deliver(deeds: Deeds, pair: Pair) -> str:
    """The first box got the first colour if it stood on its mat; swapped afterwards, the second box stands there."""
    return pair[0] if deeds[-1][0] == "swap" else pair[1]


RULES: Mapping[str, Callable[[Deeds, Pair], str]] = {
    "FILL": lambda deeds, pair: other(pair, things(deeds, "put")[0]),
    "STACK": lambda deeds, pair: things(deeds, "put")[0],
    "COUNT": lambda deeds, pair: min(pair, key=things(deeds, "put").count),
    "SHELL": shell,
    "ROUTE": lambda deeds, pair: things(deeds, "visit")[-1],
    "DRY": lambda deeds, pair: things(deeds, "dab")[0],
    "UNDO": lambda deeds, pair: things(deeds, "take")[0],
    "KEY": lambda deeds, pair: things(deeds, "close")[-1],  # open while the key fell
    "MIX": mix,
    "DELIVER": deliver,
}
