"""The command line. Whatever a user got wrong ends with status 2 and one message."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmrl.cli.evaluation import evaluation
from mmrl.cli.world import world

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Post-train video language models with reinforcement learning, and measure what that did to their reasoning.",
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
    from mmrl.cli.quickstart.experiment import run_quickstart

    run_quickstart(out, seed)


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
        from mmrl.cli.dry_run import check_config

        raise typer.Exit(0 if check_config(parsed) else 2)
    train_run(parsed, resume, shlex.join(["mmrl", "train", str(config), *(overrides or []), "--resume"]))


@app.command()
def prepare(
    config: ConfigPath,
    overrides: Overrides = None,
    samples: Annotated[int, typer.Option(help="Completions of each example.", min=1)] = 16,
) -> None:
    """Write what the base model earns on each example into the file that `base_rewards` names: pass rates, Z, difficulty."""
    from mmrl.config.load import load
    from mmrl.config.schema import Config
    from mmrl.training.base_rewards import score_base_model

    typer.echo(score_base_model(load(Config, config, overrides or []), samples))


def train_run(config, resume: bool, command: str) -> None:
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


@app.command()
def doctor() -> None:
    """Versions, devices, dtypes, attention back ends, video readers and trackers, each tried out."""
    from mmrl.cli.doctor import report

    raise typer.Exit(0 if report() else 2)


def main() -> None:
    """The entry point: errors of the user's or of the world's become one message."""
    from mmrl.runtime.console import show_warnings_once
    from mmrl.runtime.main_guard import trust_script

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin while they wait starve the decoders
    show_warnings_once()
    trust_script()
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
