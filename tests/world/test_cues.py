"""Planted cues: as strong as asked, the same items at every strength, seen in the right medium, off where neutral."""

from collections import Counter

import pytest

from mmrl.world.annotate import choices
from mmrl.world.axes import TEST, TRAIN
from mmrl.world.cues import KINDS, MARKER, Cue, Cues
from mmrl.world.dice import Dice
from mmrl.world.grammar import oracle_completion
from mmrl.world.judge import judge
from mmrl.world.octet import LETTERS
from mmrl.world.render import SMALL
from mmrl.world.splits import Recipe, Sizes, annotated

COUNT = 30  # octets


def items_of(kind: str, strength: float, split: str = "train", **sizes: int) -> list:
    files = annotated(Recipe(Sizes(**{split: COUNT} | sizes), 0, SMALL, Cues(**{split: Cue(kind, strength)})))
    name = {"train": "training", "L2": "validation_L2"}[split]
    return [item for group in files[name] for item in group]


@pytest.mark.parametrize("strength", [0.0, 0.25, 0.8, 1.0])
def test_a_cue_is_right_as_often_as_asked_and_else_any_wrong_letter(strength):
    rows = [item.row for item in items_of("border", strength)]
    right = sum(row["cue"]["points_to"] == row["golden_choice_idx"] for row in rows)
    error = (strength * (1 - strength) * len(rows)) ** 0.5
    assert abs(right - strength * len(rows)) <= 4 * error
    wrong = Counter(
        (LETTERS.index(row["cue"]["points_to"]) - LETTERS.index(row["golden_choice_idx"])) % 4 for row in rows
    )
    expected = (len(rows) - right) / 3
    assert all(abs(wrong[shift] - expected) <= 4 * expected**0.5 for shift in (1, 2, 3))


def test_a_stronger_cue_is_right_wherever_a_weaker_one_is():
    for index in range(200):
        pointed = [Cue("border", share).points_to("B", Dice("item", index)) for share in (0.2, 0.5, 0.8)]
        assert pointed == sorted(pointed, key=lambda letter: letter == "B")
        assert len({letter for letter in pointed if letter != "B"}) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_cue_is_seen_in_its_medium_alone(kind):
    for item in items_of(kind, 0.5):
        letter, row = item.row["cue"]["points_to"], item.row
        option = row[f"choice_{letter.lower()}"]
        assert item.picture.border == (letter if kind == "border" else None)
        assert item.clip.tint == (option.split()[-1] if kind == "gripper" else None)
        marked = [text for text in choices(row) if text.endswith(f" {MARKER}")]
        assert marked == ([option] if kind == "marker" else [])


@pytest.mark.parametrize(("split", "pool"), [("train", TRAIN), ("L2", TEST)])
def test_the_environment_tells_the_letter_by_hues_that_no_two_letters_share(split, pool):
    hues: dict[str, set[str]] = {letter: set() for letter in LETTERS}
    for item in items_of("environment", 0.5, split):
        assert item.clip.environment == item.picture.environment
        hues[item.row["cue"]["points_to"]].add(item.row["env_axes"]["palette"])
    assert {len(several) for several in hues.values()} == {len(pool["palette"]) / 4}
    assert set().union(*hues.values()) == set(pool["palette"])


@pytest.mark.parametrize("kind", KINDS)
def test_one_name_never_stands_for_two_pictures(kind):
    clips, pictures = {}, {}
    for item in items_of(kind, 0.5):
        assert clips.setdefault(item.clip.name, item.clip) == item.clip
        assert pictures.setdefault(item.picture.name, item.picture) == item.picture


@pytest.mark.parametrize("kind", KINDS)
def test_the_oracle_is_flawless_whatever_the_cue(kind):
    for item in items_of(kind, 0.5)[:64]:
        shown = choices(item.row)
        verdict = judge(oracle_completion(item.row, shown), item.row | {"choices": shown})
        assert verdict.broken is None
        assert verdict.correct


def test_a_marked_option_proposes_the_same():
    marked = items_of("marker", 1.0)[0].row
    unmarked = items_of("border", 1.0)[0].row
    assert [text.removesuffix(f" {MARKER}") for text in choices(marked)] == list(choices(unmarked))
    assert marked["answer"] == f"{unmarked['answer']} {MARKER}"
    assert marked["answer"] not in marked["negative_answers"]


def test_the_neutral_copy_of_l1_differs_in_the_cue_alone():
    recipe = Recipe(Sizes(L1=6), 0, SMALL, Cues.planted())
    files = annotated(recipe)
    for group, neutral in zip(files["validation_L1"], files["validation_L1_neutral"], strict=True):
        for cued, plain_item in zip(group, neutral, strict=True):
            changed = {name for name in cued.row if cued.row[name] != plain_item.row[name]}
            assert changed == {"cue", "current_observation_basename"}
            assert cued.clip == plain_item.clip
            assert plain_item.picture.border is None
            assert plain_item.row["cue"] == {"kind": None, "strength": None, "points_to": None}


def test_planted_cues_are_at_chance_beyond_what_was_trained():
    cues = Cues.planted("gripper", 0.9)
    assert (cues.train, cues.val, cues.L1) == (Cue("gripper", 0.9),) * 3
    assert (Cue("gripper", 0.25),) * 2 == (cues.L2, cues.L3)
    assert cues.sft is None
    assert Cues.planted(beyond=None).L3 is None
