"""The command line. Whatever a user got wrong ends with status 2 and one message."""

import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Post-train video language models with reinforcement learning, and measure what that did to their reasoning.",
)
evaluation = typer.Typer(no_args_is_help=True, help="Examine a model: accuracy and consistency, level by level.")
world = typer.Typer(
    no_args_is_help=True, help="The toy world: small videos whose every answer and reasoning can be checked."
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
    seed: Annotated[int, typer.Option(help="Of the world, the model, the sampling and the order of examples.")] = 0,
) -> None:
    """Train a small Qwen2.5-VL on real MP4 files of the toy world (SFT, then GRPO-CARE) and report three levels."""
    from mmrl.quickstart import quickstart as start

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
    from mmrl.config import Config, load

    parsed = load(Config, config, overrides or [])
    if check:
        rehearse(parsed)
    fit(parsed, resume, shlex.join(["mmrl", "train", str(config), *(overrides or []), "--resume"]))


def rehearse(config) -> None:
    """Everything but the steps, in a directory of its own that does not stay."""
    from mmrl.build import build
    from mmrl.check import check

    with tempfile.TemporaryDirectory(prefix="mmrl-check-") as folder:
        rehearsal = config.model_copy(update={"out": folder, "trackers": ()})
        raise typer.Exit(0 if check(build(rehearsal)) else 2)


def fit(config, resume: bool, command: str) -> None:
    """Train; say how to go on where it ends early."""
    from mmrl.build import build
    from mmrl.stopping import Stopped

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


@evaluation.command("run")
def eval_run(config: ConfigPath, overrides: Overrides = None) -> None:
    """Examine a model as CONFIG says. Interrupted, it goes on where it stopped; done, it only prints."""
    import torch

    from mmrl.build import policy_of
    from mmrl.config import EvalConfig, dump, load
    from mmrl.examine import examine, write_summary
    from mmrl.origin import commit, machine
    from mmrl.progress import console
    from mmrl.report import summaries_table

    parsed = load(EvalConfig, config, overrides or [])
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("eval run: expected one process, found several; they would write the same records")
    out = Path(parsed.out)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    policy = policy_of(parsed.model, parsed.evaluation.template, device)
    levels = examine(policy, parsed.evaluation, out, parsed.max_rows)
    (out / "config.yaml").write_text(dump(parsed))
    write_summary(out / "summary.json", levels, {"model": parsed.model.path, "commit": commit(), "machine": machine()})
    console.print(summaries_table(levels))


@world.command("render")
def world_render(
    out: Annotated[Path, typer.Argument(help="The directory to make.")],
    seed: Annotated[int, typer.Option(help="Same seed, same world.")] = 0,
    train: Annotated[int, typer.Option(help="Octets (8 questions, 4 clips) to train on.")] = 1000,
    level: Annotated[int, typer.Option(help="Octets of each of L1, L2 and L3.")] = 24,
    size: Annotated[int, typer.Option(help="Pixels of a side.")] = 56,
    workers: Annotated[int, typer.Option(help="Processes; 0 takes one a core.")] = 0,
) -> None:
    """Render the toy world as MP4 and PNG files in SEED-Bench-R1's own layout."""
    from mmrl.progress import progress
    from mmrl.world.build import Sizes, render

    sizes = Sizes(train, level, level, level)
    with progress("render", train + 3 * level) as show:
        render(
            out,
            sizes,
            seed=seed,
            size=size,
            workers=workers or os.cpu_count() or 1,
            progress=lambda done, _: show(done),
        )
    typer.echo(f"{out}: {8 * train} questions to train on, {8 * level} on each level")


@app.command()
def doctor() -> None:
    """Versions, devices, dtypes, attention back ends, video readers and trackers, each tried out."""
    from mmrl.doctor import report

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
