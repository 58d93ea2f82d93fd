"""``mmrl world render``: its options, the dataclass that holds them, and what reaches the renderer."""

from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmrl.cli.app import app
from mmrl.cli.world import RenderOptions
from mmrl.world import build
from mmrl.world.axes import AXES
from mmrl.world.cues import CHANCE, Cues
from mmrl.world.splits import PRESETS

OUT = Path("out")


@pytest.fixture
def rendered(monkeypatch):
    """Run the command with options; what the renderer is given, by name."""
    given = {}
    monkeypatch.setattr(build, "render", lambda out, recipe, **how: given.update(how, out=out, recipe=recipe))

    def run(*options):
        done = CliRunner().invoke(app, ["world", "render", "out", *options], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return given

    return run


def test_every_option_reaches_the_renderer(rendered):
    told = "--preset small --seed 3 --size 64 --frames-per-slot 3 --train 2 --level 4 --nat 6 --axes palette,texture --workers 5"
    given = rendered(
        *told.split(), "--cue", "border", "--strength", "0.5", "--neutral-beyond", "--families", "FILL, DRY, KEY"
    )
    recipe = given["recipe"]
    sizes, dial = recipe.sizes, recipe.dial
    assert (given["out"], recipe.seed, given["workers"]) == (OUT, 3, 5)
    assert (sizes.train, sizes.L1, sizes.L2, sizes.L3, sizes.nat_L1, sizes.nat_train) == (2, 4, 4, 4, 6, 30)
    assert (dial.size, dial.frames_per_slot) == (64, 3)
    assert (recipe.axes, recipe.families) == (("palette", "texture"), ("FILL", "DRY", "KEY"))
    assert recipe.cues == Cues.planted("border", 0.5, None)


def test_without_options_it_is_the_preset(rendered):
    recipe = rendered()["recipe"]
    assert (recipe.sizes, recipe.dial) == PRESETS["full"]
    assert (recipe.cues, recipe.axes) == (Cues(), tuple(AXES))


def test_every_field_is_an_option_of_the_command():
    shown = CliRunner().invoke(app, ["world", "render", "--help"], env={"COLUMNS": "200"}).output
    names = [field.name.replace("_", "-") for field in fields(RenderOptions)]
    assert [name for name in names if name != "out" and f"--{name}" not in shown] == []


def test_a_cue_is_right_by_chance_beyond_unless_it_is_told_otherwise():
    assert RenderOptions(OUT, cue="border").planted_cues() == Cues.planted("border", 0.8, CHANCE)
    assert RenderOptions(OUT, cue="border", beyond=1.0).planted_cues() == Cues.planted("border", 0.8, 1.0)


@pytest.mark.parametrize("useless", [{"strength": 0.5}, {"beyond": 0.5}, {"neutral_beyond": True}])
def test_options_of_a_cue_without_a_cue_are_refused(useless):
    with pytest.raises(
        ValueError, match="--strength, --beyond, --neutral-beyond: expected --cue with them, found none"
    ):
        RenderOptions(OUT, **useless).planted_cues()


def test_options_that_exclude_each_other_are_refused():
    with pytest.raises(ValueError, match="--beyond, --neutral-beyond: expected one of them, found both"):
        RenderOptions(OUT, cue="border", beyond=0.5, neutral_beyond=True).planted_cues()
