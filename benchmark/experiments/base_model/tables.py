"""The base model's card as tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.tables import Cells

SHOWN = ("accuracy", "consistency", "parseable", "format", "support", "events", "station", "view")


def tables(card: Mapping[str, Any]) -> Iterator[tuple[str, Cells]]:
    """Titles and cells, in percent with 95 % intervals over octets."""
    yield "Sampled at temperature 1, in percent", levels(card["levels"])
    yield "\nAnswers that are the letter of the border", cue(card["cue"])
    yield "\nAccuracy by who saw and who deduced, grey border", ways(card["ways"])


def levels(found: Mapping[str, Any]) -> Cells:
    """Return a line a look, a column a metric."""
    lines = [[name, *(told(one["metrics"][metric]) for metric in SHOWN)] for name, one in found.items()]
    return ["level", *SHOWN], lines


def cue(found: Mapping[str, Any]) -> Cells:
    """Return a line a look; once more for the items whose border is wrong."""
    lines = []
    for name, one in found.items():
        lines.append([name, *followed(one)])
        if one["where_wrong"] is not None:
            lines.append([f"{name}, border wrong", *followed(one["where_wrong"])])
    return ["level", "follows", "if independent", "excess", "accuracy"], lines


def followed(one: Mapping[str, Any]) -> list[str]:
    """Return the cells of a line."""
    return [told(one["follows"]), f"{100 * one['independent']:.1f}", told(one["excess"]), told(one["accuracy"])]


def ways(found: Mapping[str, Any]) -> Cells:
    """Return a line a way, a column a level."""
    names = list(next(iter(found.values())))
    return ["way", *found], [[name, *(told(one[name]) for one in found.values())] for name in names]


def told(figure: Mapping[str, Any]) -> str:
    """Return a mean with its interval."""
    low, high = ("?" if each is None else f"{100 * each:.0f}" for each in (figure["low"], figure["high"]))
    return f"{100 * figure['mean']:.1f} ({low} to {high})"
