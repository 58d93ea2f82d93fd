"""The table of levels, as text, as JSON and in the terminal."""

import io
import json
import math
import re

import pytest
from rich.console import Console

from mmrl.evaluation.statistics import Difference, paired
from mmrl.evaluation.tables.levels import levels_as_json, limits, p_value, percent, points, rows, verdict
from mmrl.evaluation.tables.terminal import levels_table

GAIN = Difference(0.382, 0.613, 0.231, 0.184, 0.278, 0.0001, 2432, 811)
LOSS = Difference(0.5, 0.4, -0.1, -0.15, -0.05, 0.002, 923, 300)
NOTHING = Difference(0.3, 0.31, 0.01, -0.02, 0.04, 0.51, 1321, 400)
LEVELS = {"L1": {"accuracy": GAIN, "consistency": LOSS}, "L3": {"accuracy": NOTHING}}


def test_json_has_the_agreed_shape():
    found = levels_as_json(LEVELS)
    assert found["L1"]["accuracy"] == {
        "before": 0.382,
        "after": 0.613,
        "difference": 0.231,
        "interval": [0.184, 0.278],
        "n": 2432,
    }
    assert list(found) == ["L1", "L3"]
    assert list(found["L1"]) == ["accuracy", "consistency"]


def test_json_is_strict_even_where_nothing_is_known():
    alone = paired([0.0, 2.0], [3.0, 4.0], ["v", "v"])
    found = json.dumps(levels_as_json({"L1": {"tokens": alone}}), allow_nan=False)
    assert json.loads(found)["L1"]["tokens"]["interval"] == [None, None]


def test_only_an_interval_without_zero_is_a_verdict():
    assert [verdict(each) for each in (GAIN, LOSS, NOTHING)] == ["better", "worse", "unclear"]
    assert verdict(Difference(0, 0, 0.1, 0.0, 0.2, 0.05, 10, 10)) == "unclear"


def test_rows_say_it_in_words():
    first, second, third = rows(LEVELS)
    assert (first.level, first.metric, first.source) == ("L1", "accuracy", GAIN)
    assert (limits(GAIN), p_value(GAIN.p_signflip), p_value(LOSS.p_signflip)) == ("+18.4 to +27.8", "< 0.001", "0.002")
    assert (second.source, verdict(second.source), second.opens) == (LOSS, "worse", False)
    assert third.opens


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.1234, "+12.3"), (-0.05, "−5.0"), (0, "0.0"), (-0.0001, "0.0"), (math.inf, "?")]
)
def test_points_carry_their_sign(fraction, text):
    assert points(fraction) == text


def test_percent():
    assert percent(1) == "100.0\u202f%"


def test_the_terminal_shows_the_same():
    console = Console(file=io.StringIO(), width=100, color_system="standard", force_terminal=True, _environ={})
    console.print(levels_table({**LEVELS, "[red]x": {"a [b]": GAIN}}, "Before and after"))
    text = console.file.getvalue()
    for shown in (
        "L1",
        "accuracy",
        "38.2\u202f%",
        "61.3\u202f%",
        "+23.1",
        "+18.4 to +27.8",
        "2,432",
        "[red]x",
        "a [b]",
    ):
        assert shown in text
    assert re.search(r"\x1b\[32m *\+23\.1", text)  # green
    assert re.search(r"\x1b\[31m *−10\.0", text)  # red
    assert text.count("L1") == 1
