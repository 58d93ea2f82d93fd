"""docs/statistics.md: every number on the page, and every name, is this code's."""

import doctest
import re
from pathlib import Path

import mmrl.evaluation.statistics

PAGE = Path(__file__).parents[3] / "docs" / "statistics.md"


def test_the_page_says_what_the_code_computes():
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 20
    assert found.failed == 0


def test_every_number_of_the_table_is_a_name_of_the_package():
    named = set(re.findall(r"`(\w+)`", PAGE.read_text().split("## A worked example")[0]))
    assert named - set(mmrl.evaluation.statistics.__all__) == {"discordant", "mde"}  # fields of a Comparison
    assert {"discordant", "mde"} <= set(mmrl.evaluation.statistics.Comparison.__slots__)
