"""Items from octets and from annotation files are the same items."""

import json
from dataclasses import replace

import pytest

from benchmark.procbench.items import LIDS, NAT, drawn, of_nat, of_octet, of_root, of_row, whole_octets, with_lids
from mmrl.world.cues import Cue, Cues
from mmrl.world.octet import LETTERS
from mmrl.world.script import FAMILIES, Event
from mmrl.world.splits import Recipe, Sizes, all_nats, all_octets, annotated


def written(root, files):
    """Rows as files of a rendered benchmark."""
    (root / "annotations").mkdir()
    for name, rows in files.items():
        (root / "annotations" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def rendered(root, recipe):
    """The validation files of a recipe, without its media."""
    files = {name: [item.row for group in groups for item in group] for name, groups in annotated(recipe).items()}
    return written(root, {name: rows for name, rows in files.items() if name.startswith("validation")})


def test_a_file_says_what_its_octets_say(tmp_path):
    recipe = Recipe(Sizes(L1=6, L3=4), seed=3)
    found = of_root(rendered(tmp_path, recipe))
    for level in ("L1", "L3"):
        assert found[level] == [item for octet in all_octets(recipe)[level] for item in of_octet(octet)]


def test_natural_items_are_told_apart_and_left_out_of_octets(tmp_path):
    recipe = Recipe(Sizes(L1=6, nat_L1=8), seed=3)
    found = of_root(rendered(tmp_path, recipe))
    assert found["L1_nat"] == [of_nat(nat) for nat in all_nats(recipe)["L1"]]
    assert {item.stratum for item in found["L1_nat"]} == {NAT}
    assert whole_octets([*found["L1"], *found["L1_nat"]]) == found["L1"]


def test_groups_that_miss_a_member_are_left_out():
    items = drawn("FILL", 3, seed=0)
    assert whole_octets(items[:-1]) == items[:16]


def test_a_planted_cue_is_read_from_the_file(tmp_path):
    recipe = Recipe(Sizes(L1=6), seed=0, cues=Cues(L1=Cue("border", 1.0)))
    found = of_root(rendered(tmp_path, recipe))
    assert all(item.cue == item.gold for item in found["L1"])
    assert all(item.cue is None for item in found["L1_neutral"])


def test_every_clip_ends_with_the_lids_once():
    put = Event(2, "put", "red", "left")
    assert with_lids([put]) == (put, LIDS)
    assert with_lids([LIDS, put]) == (put, LIDS)
    assert with_lids([]) == ()  # no video
    assert all(item.events[-1] == LIDS and len(item.events) == 4 for item in drawn("FILL", 5, seed=0))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_octets_do_not_depend_on_how_many_follow(family):
    assert drawn(family, 5, seed=1)[:16] == drawn(family, 2, seed=1)
    assert drawn(family, 2, seed=1) != drawn(family, 2, seed=2)


def test_what_is_no_benchmark_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected annotations/validation_\*\.jsonl, found none"):
        of_root(tmp_path)
    row = {"sample_id": "L1-00000-0", "group_id": "L1-00000", "family": "FILL"}
    with pytest.raises(ValueError, match="row L1-00000-0: expected the field 'question'"):
        of_row(row)


def test_text_is_all_that_a_reader_sees():
    item = drawn("FILL", 1, seed=0)[0]
    assert item.text == (item.question, *item.options)
    assert replace(item, lamp="elsewhere", events=(), gold=3).text == item.text
    assert len(item.options) == len(LETTERS)
