"""The command line. Whatever a user got wrong ends with status 2 and one message."""

import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from mmrl.cli.evaluation import evaluation

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Post-train video language models with reinforcement learning, and measure what that did to their reasoning.",
)
world = typer.Typer(
    no_args_is_help=True, help="ProcBench: small videos whose every answer and reasoning can be checked."
)
app.add_typer(evaluation, name="eval")
app.add_typer(world, name="world")

ConfigPath = Annotated[Path, typer.Argument(help="A YAML file; those in configs/ are complete and readable alone.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="key.to.it=value, read as YAML: steps=10 data.root=DIR", metavar="[KEY=VALUE]..."),
]


@app.command()
def quickstart(
    out: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("runs/quickstart"),
    seed: Annotated[int, typer.Option(help="Of the world, the sampling and the order of examples.")] = 0,
) -> None:
    """Train a small Qwen2.5-VL on real MP4 files with a planted shortcut, by GRPO and by GRPO-CARE, and compare them."""
    from mmrl.cli.quickstart import quickstart as start

    start(out, seed)


@app.command()
def train(
    config: ConfigPath,
    overrides: Overrides = None,
    check: Annotated[
        bool, typer.Option("--check", help="Validate data, media, memory and the first batch; train nothing.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint in the run's directory.")
    ] = False,
) -> None:
    """Train a model as CONFIG says. Several processes: torchrun --nproc_per_node N -m mmrl train CONFIG."""
    from mmrl.config.load import load
    from mmrl.config.schema import Config

    parsed = load(Config, config, overrides or [])
    if check:
        rehearse(parsed)
    fit(parsed, resume, shlex.join(["mmrl", "train", str(config), *(overrides or []), "--resume"]))


@app.command()
def prepare(
    config: ConfigPath,
    overrides: Overrides = None,
    samples: Annotated[int, typer.Option(help="Completions of each example.", min=1)] = 16,
) -> None:
    """Write what the base model earns on each example into the file that `prepared` names: pass rates, Z, difficulty."""
    from mmrl.config.load import load
    from mmrl.config.schema import Config
    from mmrl.training.base_rates import prepare as draw

    typer.echo(draw(load(Config, config, overrides or []), samples))


def rehearse(config) -> None:
    """Everything but the steps, in a directory of its own that does not stay."""
    from mmrl.cli.dry_run import check
    from mmrl.training.build import build

    with tempfile.TemporaryDirectory(prefix="mmrl-check-") as folder:
        rehearsal = config.model_copy(update={"out": folder, "trackers": ()})
        raise typer.Exit(0 if check(build(rehearsal)) else 2)


def fit(config, resume: bool, command: str) -> None:
    """Train; say how to go on where it ends early."""
    from mmrl.runtime.interrupt import Stopped
    from mmrl.training.build import build

    run = build(config, resume)
    if run.ranks.world > 1:
        command = f"torchrun --nproc_per_node {run.ranks.world} -m {command}"

    def say(text: str) -> None:
        if run.ranks.main and run.saved >= 0:
            typer.echo(f"{text} To go on: {command}", err=True)

    try:
        run.fit()
    except (Stopped, KeyboardInterrupt):
        say(f"Stopped after step {run.saved}.")
        raise typer.Exit(130) from None
    except (RuntimeError, ValueError, OSError):
        say(f"Everything up to step {run.saved} is in {run.checkpoints}.")
        raise


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
    from dataclasses import replace

    from mmrl.runtime.console import progress
    from mmrl.world.axes import AXES
    from mmrl.world.build import render
    from mmrl.world.demos import Demonstrations
    from mmrl.world.script import FAMILIES
    from mmrl.world.splits import PRESETS

    sizes, dial = PRESETS[preset]
    sizes = sizes.resized(train, level, nat)
    shape = {"size": size, "frames_per_slot": frames_per_slot}
    dial = replace(dial, **{name: value for name, value in shape.items() if value is not None})
    switched, cues = _listed(axes, AXES), _cues(cue, strength, beyond, neutral_beyond)
    with progress("render", sizes.groups(switched, cues)) as show:
        render(
            out,
            sizes,
            seed=seed,
            dial=dial,
            cues=cues,
            axes=switched,
            families=_listed(families, FAMILIES),
            workers=workers or os.cpu_count() or 1,
            progress=lambda done, _: show(done),
            demonstrations=Demonstrations(),
        )
    typer.echo(f"{out}: {8 * sizes.train} questions to train on, {8 * sizes.L1} on L1; all counts in manifest.json")


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


def _listed(told: str | None, default) -> tuple[str, ...]:
    """Names told with commas; those of the default where none are told."""
    return tuple(default) if told is None else tuple(name.strip() for name in told.split(",") if name.strip())


def _cues(kind: str | None, strength: float | None, beyond: float | None, neutral_beyond: bool):
    """The cues that options ask for. Raises ValueError for options that would do nothing."""
    from mmrl.world.cues import CHANCE, Cues

    if kind is None:
        if neutral_beyond or (strength, beyond) != (None, None):
            raise ValueError("--strength, --beyond, --neutral-beyond: expected --cue with them, found none")
        return Cues()
    if neutral_beyond and beyond is not None:
        raise ValueError("--beyond, --neutral-beyond: expected one of them, found both")
    after = CHANCE if beyond is None else beyond
    return Cues.planted(kind, 0.8 if strength is None else strength, None if neutral_beyond else after)


@app.command()
def doctor() -> None:
    """Versions, devices, dtypes, attention back ends, video readers and trackers, each tried out."""
    from mmrl.cli.doctor import report

    raise typer.Exit(0 if report() else 2)


def main() -> None:
    """The entry point: errors of the user's or of the world's become one message."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin while they wait starve the decoders
    try:
        app()
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        if os.environ.get("MMRL_TRACEBACK"):
            raise
        print(f"mmrl: {error}", *getattr(error, "__notes__", ()), sep="\n  ", file=sys.stderr)
        print("(MMRL_TRACEBACK=1 shows where)", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
