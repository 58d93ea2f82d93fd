"""``mmrl world``: render, show, sheet. Heavy modules are imported only when a command runs."""

import inspect
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

world = typer.Typer(
    no_args_is_help=True, help="ProcBench: small videos whose every answer and reasoning can be checked."
)


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """The options of ``mmrl world render``. None means the preset's value."""

    out: Annotated[Path, typer.Argument(help="The directory to make.")]
    preset: Annotated[
        Literal["full", "smoke", "small"],
        typer.Option(
            help="full: the released benchmark, 128 px, about 9,700 clips. smoke: a little of every split, in seconds. "
            "small: 56 px and 16 frames, for a small model. The sizes below change what a preset says."
        ),
    ] = "full"
    seed: Annotated[int, typer.Option(help="Same seed, same scripts on any machine.")] = 0
    size: Annotated[int | None, typer.Option(help="Pixels of a side, even.")] = None
    frames_per_slot: Annotated[int | None, typer.Option(help="Frames of each of a clip's eight events.")] = None
    train: Annotated[int | None, typer.Option(help="Octets (8 questions, 4 clips) to train on.")] = None
    level: Annotated[int | None, typer.Option(help="Octets of each of L1, L2 and L3.")] = None
    nat: Annotated[int | None, typer.Option(help="Natural items on each level; five times as many to train on.")] = None
    cue: Annotated[
        str | None,
        typer.Option(
            help="Plant a shortcut that names a letter: border, gripper, marker or environment. It fixes the order of "
            "options: train on them with options: file. L1 without it is validation_L1_neutral.jsonl.",
            show_default="none",
        ),
    ] = None
    strength: Annotated[
        float | None,
        typer.Option(help="How often the cue is right in training and on L1; 0 never.", show_default="0.8"),
    ] = None
    beyond: Annotated[
        float | None,
        typer.Option(help="The same on L2 and L3; 0.25 is chance.", show_default="0.25"),
    ] = None
    neutral_beyond: Annotated[bool, typer.Option("--neutral-beyond", help="No cue on L2 and L3.")] = False
    axes: Annotated[
        str | None,
        typer.Option(
            help="What L2 and L3 look different in, with commas: palette, texture, layout, skin, gripper, speed, "
            "camera, codec, resolution, movers.",
            show_default="all",
        ),
    ] = None
    families: Annotated[str | None, typer.Option(help="Families of octets, with commas.", show_default="all")] = None
    workers: Annotated[int, typer.Option(help="Processes; 0 takes one a core.")] = 0

    def planted_cues(self):
        """Return the cues of the options. Raises ValueError for options without an effect."""
        from mmrl.world.cues import CHANCE, Cues

        if self.cue is None:
            if self.neutral_beyond or (self.strength, self.beyond) != (None, None):
                raise ValueError("--strength, --beyond, --neutral-beyond: expected --cue with them, found none")
            return Cues()
        if self.neutral_beyond and self.beyond is not None:
            raise ValueError("--beyond, --neutral-beyond: expected one of them, found both")
        after = CHANCE if self.beyond is None else self.beyond
        strength = 0.8 if self.strength is None else self.strength
        return Cues.planted(self.cue, strength, None if self.neutral_beyond else after)

    def recipe(self):
        """Return the recipe to render: the preset, changed by the given options."""
        from mmrl.world.axes import AXES
        from mmrl.world.demos import Demonstrations
        from mmrl.world.script import FAMILIES
        from mmrl.world.splits import PRESETS, Recipe

        sizes, dial = PRESETS[self.preset]
        shape = {"size": self.size, "frames_per_slot": self.frames_per_slot}
        return Recipe(
            sizes.resized(self.train, self.level, self.nat),
            self.seed,
            dial=replace(dial, **{name: value for name, value in shape.items() if value is not None}),
            cues=self.planted_cues(),
            axes=comma_separated(self.axes, AXES),
            families=comma_separated(self.families, FAMILIES),
            demonstrations=Demonstrations(),
        )


def comma_separated(names: str | None, default: Iterable[str]) -> tuple[str, ...]:
    """Split names at commas; None means the default names."""
    return tuple(default) if names is None else tuple(name.strip() for name in names.split(",") if name.strip())


def takes(options: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that makes the fields of a dataclass the options of a command, which receives an instance."""

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def flat(**values: Any) -> None:
            command(options(**values))

        flat.__signature__ = inspect.signature(options)
        flat.__annotations__ = inspect.get_annotations(options)
        return flat

    return with_options


@world.command("render")
@takes(RenderOptions)
def world_render(options: RenderOptions) -> None:
    """Render ProcBench as MP4 and PNG files in SEED-Bench-R1's own layout. Start it again to continue an interrupted run."""
    from mmrl.runtime.console import progress
    from mmrl.world.build import render

    recipe = options.recipe()
    with progress("render", recipe.groups) as show:
        render(options.out, recipe, workers=options.workers or os.cpu_count() or 1, progress=show)
    counts = f"{8 * recipe.sizes.train} questions to train on, {8 * recipe.sizes.L1} on L1"
    typer.echo(f"{options.out}: {counts}; all counts in manifest.json")


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
    """Draw an item: every event, the observations of its octet, the question, and the right answer."""
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
    """Draw the first item of each of a file's first groups, one line each."""
    from mmrl.world.files import rows_in
    from mmrl.world.show import contact_sheet

    contact_sheet(list(rows_in(root, file)), root, most).save(out)
    typer.echo(out)
