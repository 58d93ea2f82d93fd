"""Strips and sheets for people; how they look is looked at, not tested."""

import json

import numpy as np
import pytest

from mmrl.world import show
from mmrl.world.build import render
from mmrl.world.cues import Cues
from mmrl.world.render import SMALL
from mmrl.world.splits import Recipe, Sizes


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """Two octets of the first level, with a cue, and four natural items."""
    out = tmp_path_factory.mktemp("world") / "out"
    return render(out, Recipe(Sizes(L1=2, nat_L1=8), 0, SMALL, Cues.planted()))


def rows(benchmark) -> list[dict]:
    """Of the first level, both strata."""
    files = ("validation_L1.jsonl", "validation_L1_nat.jsonl")
    lines = [line for name in files for line in (benchmark / "annotations" / name).read_text().splitlines()]
    return [json.loads(line) for line in lines]


def test_every_item_has_a_strip(benchmark):
    every = rows(benchmark)
    assert {row["stratum"] for row in every} == {"octet", "nat"}
    assert {bool(row["video_basename"]) for row in every} == {True, False}
    for row in every:
        picture = np.asarray(show.strip(row, benchmark))
        assert picture.shape[2] == 3
        assert (picture != 255).mean() > 0.1


def test_a_strip_shows_the_same_for_the_same_row_and_other_things_for_another_video(benchmark):
    every = [row for row in rows(benchmark) if row["stratum"] == "octet"]
    one, again, other = (show.strip(row, benchmark).tobytes() for row in (every[0], every[0], every[6]))
    assert one == again
    assert one != other


def test_an_octet_s_strip_shows_both_observations_and_a_natural_item_s_its_own(benchmark):
    for row in rows(benchmark):
        found = [told for _, told in show._observations(row, benchmark)]
        if row["stratum"] == "octet":
            assert len(found) == 2
            assert {told.split()[-1] for told in found} == {"left", "right"}
        else:
            assert len(found) == 1


def test_a_sheet_has_a_line_for_each_group_up_to_the_most(benchmark):
    every = rows(benchmark)
    groups = len({row["group_id"] for row in every})
    heights = [show.contact_sheet(every, benchmark, most).height for most in (1, 2, groups, groups + 5)]
    assert heights[1] - heights[0] == (heights[2] - heights[0]) / (groups - 1)
    assert heights[2] == heights[3]
