"""The command line. An error that the user can correct ends with status 2 and one message."""

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
    out: Annotated[Path, typer.Option(help="The directory of all results.")] = Path("runs/quickstart"),
    seed: Annotated[int, typer.Option(help="The seed of the world, the sampling and the order of examples.")] = 0,
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
        bool, typer.Option("--resume", help="Continue from the newest checkpoint in the run's directory.")
    ] = False,
) -> None:
    """Train the model of CONFIG. For several processes: torchrun --nproc_per_node N -m mmrl train CONFIG."""
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
    """Score the base model on each example (pass rates, Z, difficulty) and write the file that `base_rewards` names."""
    from mmrl.config.load import load
    from mmrl.config.schema import Config
    from mmrl.training.base_rewards import score_base_model

    typer.echo(score_base_model(load(Config, config, overrides or []), samples))


def train_run(config, resume: bool, command: str) -> None:
    """Train; if the run ends early, print the command that resumes it."""
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
    """Check versions, devices, dtypes, attention back ends, video readers and trackers by trying each."""
    from mmrl.cli.doctor import report

    raise typer.Exit(0 if report() else 2)


def main() -> None:
    """Run the command line; expected errors become one message and status 2."""
    from mmrl.runtime.console import show_warnings_once
    from mmrl.runtime.main_guard import trust_script

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads that spin take the CPU from the decoders
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
