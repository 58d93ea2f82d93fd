"""``mmrl world``: render, show, sheet. Nothing heavy is imported before a command runs."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

world = typer.Typer(
    no_args_is_help=True, help="ProcBench: small videos whose every answer and reasoning can be checked."
)


@world.command("render")
def world_render(
    out: Annotated[Path, typer.Argument(help="The directory to make.")],
    preset: Annotated[
        Literal["full", "smoke", "small"],
        typer.Option(
            help="full: the released benchmark, 128 px, about 9,700 clips. smoke: a little of every split, in seconds. "
            "small: 56 px and 16 frames, for a small model. The sizes below change what a preset says."
        ),
    ] = "full",
    seed: Annotated[int, typer.Option(help="Same seed, same scripts on any machine.")] = 0,
    size: Annotated[int | None, typer.Option(help="Pixels of a side, even.")] = None,
    frames_per_slot: Annotated[int | None, typer.Option(help="Frames of each of a clip's eight events.")] = None,
    train: Annotated[int | None, typer.Option(help="Octets (8 questions, 4 clips) to train on.")] = None,
    level: Annotated[int | None, typer.Option(help="Octets of each of L1, L2 and L3.")] = None,
    nat: Annotated[
        int | None, typer.Option(help="Natural items on each level; five times as many to train on.")
    ] = None,
    cue: Annotated[
        str | None,
        typer.Option(
            help="Plant a shortcut that names a letter: border, gripper, marker or environment. It fixes the order of "
            "options: train on them with options: file. L1 without it is validation_L1_neutral.jsonl.",
            show_default="none",
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(help="How often the cue is right in training and on L1; 0 never.", show_default="0.8"),
    ] = None,
    beyond: Annotated[
        float | None,
        typer.Option(help="The same on L2 and L3; 0.25 is chance.", show_default="0.25"),
    ] = None,
    neutral_beyond: Annotated[bool, typer.Option("--neutral-beyond", help="No cue on L2 and L3.")] = False,
    axes: Annotated[
        str | None,
        typer.Option(
            help="What L2 and L3 look different in, with commas: palette, texture, layout, skin, gripper, speed, "
            "camera, codec, resolution, movers.",
            show_default="all",
        ),
    ] = None,
    families: Annotated[str | None, typer.Option(help="Families of octets, with commas.", show_default="all")] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 takes one a core.")] = 0,
) -> None:
    """Render ProcBench as MP4 and PNG files in SEED-Bench-R1's own layout. Interrupted, it goes on where it stopped."""
    from mmrl.runtime.console import progress
    from mmrl.world.axes import AXES
    from mmrl.world.build import render
    from mmrl.world.demos import Demonstrations
    from mmrl.world.script import FAMILIES
    from mmrl.world.splits import PRESETS, Recipe

    sizes, dial = PRESETS[preset]
    sizes, shape = sizes.resized(train, level, nat), {"size": size, "frames_per_slot": frames_per_slot}
    recipe = Recipe(
        sizes,
        seed,
        dial=replace(dial, **{name: value for name, value in shape.items() if value is not None}),
        cues=planted_cues(cue, strength, beyond, neutral_beyond),
        axes=comma_separated(axes, AXES),
        families=comma_separated(families, FAMILIES),
        demonstrations=Demonstrations(),
    )
    with progress("render", recipe.groups) as show:
        render(out, recipe, workers=workers or os.cpu_count() or 1, progress=show)
    counts = f"{8 * sizes.train} questions to train on, {8 * sizes.L1} on L1"
    typer.echo(f"{out}: {counts}; all counts in manifest.json")


def planted_cues(kind: str | None, strength: float | None, beyond: float | None, neutral_beyond: bool):
    """Return the cues that the options ask for. Raises ValueError for options that would do nothing."""
    from mmrl.world.cues import CHANCE, Cues

    if kind is None:
        if neutral_beyond or (strength, beyond) != (None, None):
            raise ValueError("--strength, --beyond, --neutral-beyond: expected --cue with them, found none")
        return Cues()
    if neutral_beyond and beyond is not None:
        raise ValueError("--beyond, --neutral-beyond: expected one of them, found both")
    after = CHANCE if beyond is None else beyond
    return Cues.planted(kind, 0.8 if strength is None else strength, None if neutral_beyond else after)


def comma_separated(names: str | None, default: Iterable[str]) -> tuple[str, ...]:
    """Split names at commas; None stands for those of the default."""
    return tuple(default) if names is None else tuple(name.strip() for name in names.split(",") if name.strip())


BenchmarkRoot = Annotated[Path, typer.Option("--root", help="A rendered benchmark.")]
Drawing = Annotated[Path, typer.Option("--out", help="The PNG file to write.")]


@world.command("show")
def world_show(
    item: Annotated[str, typer.Argument(help="The sample_id of a row, such as L1-00003-5.")],
    root: BenchmarkRoot,
    out: Drawing,
    file: Annotated[
        str | None,
        typer.Option(help="Its annotation file, such as validation_L2_codec.", show_default="the first with it"),
    ] = None,
) -> None:
    """Draw an item: every event, the observations of its octet, what is asked, and the truth."""
    from mmrl.world.files import find_row
    from mmrl.world.show import strip

    strip(find_row(root, item, file), root).save(out)
    typer.echo(out)


@world.command("sheet")
def world_sheet(
    file: Annotated[str, typer.Argument(help="An annotation file, such as validation_L2.")],
    root: BenchmarkRoot,
    out: Drawing,
    most: Annotated[int, typer.Option(help="Groups at most.", min=1)] = 12,
) -> None:
    """Draw the first item of each of a file's first groups, a line each."""
    from mmrl.world.files import rows_in
    from mmrl.world.show import contact_sheet

    contact_sheet(list(rows_in(root, file)), root, most).save(out)
    typer.echo(out)
