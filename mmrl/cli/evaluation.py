"""``mmrl eval``: run, score, compare, view, audit, ls."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

evaluation = typer.Typer(no_args_is_help=True, help="Evaluate a model: accuracy and consistency, level by level.")

Folder = Annotated[Path, typer.Argument(help="A folder that eval run wrote: of a run, or of one of its sets.")]
ScorerName = Annotated[
    str, typer.Option("--scorer", help="The name of the scorer; each scorer has its own file of verdicts.")
]
Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--condition",
        help="Ask everything once more under a condition, as in blind or rotate:1; may be repeated. "
        "`mmrl eval ls` lists them.",
    ),
]


@evaluation.command("run")
def eval_run(
    config: Annotated[Path, typer.Argument(help="A YAML file, or the name of one in configs/eval.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key.to.it=value, read as YAML: model.path=DIR", metavar="[KEY=VALUE]..."),
    ] = None,
    condition: Conditions = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Generate again what failed: media that could not be read, engine errors.")
    ] = False,
) -> None:
    """Evaluate the model of CONFIG. An interrupted run continues when it is started again; a finished one only prints.

    Exit status 1: a question could not be asked; it counts as wrong.
    """
    from mmrl.config.load import load
    from mmrl.config.schema import EvalConfig
    from mmrl.evaluation.commands.run import run

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("eval run: expected one process, found several; they would write the same records")
    flags = [*(f"--condition {name}" for name in condition or []), *(["--retry"] if retry else [])]
    command = " ".join([shlex.join(["mmrl", "eval", "run", str(config), *(overrides or [])]), *flags])
    _, status = run(load(EvalConfig, config_path(config), overrides or []), condition or [], retry, command)
    raise typer.Exit(status)


def config_path(config: Path) -> Path:
    """Return the file itself, or the file of this name in configs/eval."""
    named = Path("configs", "eval", f"{config}.yaml")
    return named if not config.exists() and named.exists() else config


@evaluation.command("score")
def eval_score(
    folder: Folder,
    graders: Annotated[
        list[str] | None,
        typer.Argument(help="metric=grader, as in strict=accuracy or mine=my.py:grade.", metavar="[METRIC=GRADER]..."),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", help="The name of the new scorer; verdicts of other names stay.")
    ] = "default",
) -> None:
    """Score the generated completions again, without a model: by the given graders, or by the current code of the run's own."""
    from mmrl.evaluation.commands.score import rescore

    rescore(folder, graders or [], name)


@evaluation.command("compare")
def eval_compare(
    before: Folder,
    after: Folder,
    scorer: ScorerName = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not the table.")] = False,
) -> None:
    """Compare two runs, set by set and metric by metric: paired by item and sample, clustered by video."""
    from mmrl.evaluation.commands.compare import compare_runs

    compare_runs(before, after, scorer, as_json)


@evaluation.command("audit")
def eval_audit(
    folder: Folder,
    train: Annotated[
        Path | None, typer.Option(help="A training config: search the evaluated items for its files and questions.")
    ] = None,
    media: Annotated[
        bool, typer.Option("--media", help="Decode all media again and compare them with what the model was shown.")
    ] = False,
) -> None:
    """Check that a run is complete and unchanged; report its overlap with training data and the hints in its options.

    Exit status 1: something is broken.
    """
    from mmrl.evaluation.audits.contamination import trained_on
    from mmrl.evaluation.commands.audit import audit

    raise typer.Exit(audit(folder, None if train is None else trained_on(train, root_of(folder)), media))


def root_of(folder: Path) -> Path | None:
    """Return the data root that a run has recorded, if that folder exists, else None."""
    from mmrl.evaluation.run_folder import RUN, read_run

    root = Path(read_run(folder).config["evaluation"]["root"]) if (folder / RUN).exists() else None
    return root if root is not None and root.is_dir() else None


@evaluation.command("view")
def eval_view(
    folder: Folder,
    scorer: ScorerName = "default",
    out: Annotated[Path | None, typer.Option(help="The HTML file.", show_default="FOLDER/view.html")] = None,
    status: Annotated[str | None, typer.Option(help="Only these, as in truncated or media_error.")] = None,
    wrong: Annotated[bool, typer.Option("--wrong", help="Only what is not right by the first metric.")] = False,
    most: Annotated[int, typer.Option(min=1, help="Completions at most.")] = 500,
) -> None:
    """Write one self-contained HTML page: questions, inputs and completions of the model, extracted answers, scores."""
    from mmrl.report.evaluation import view

    typer.echo(view(folder, out or folder / "view.html", scorer, status, wrong, most))


@evaluation.command("ls")
def eval_ls(
    folder: Annotated[Path, typer.Argument(help="The folder in which to search for runs.")] = Path("runs"),
) -> None:
    """List the benchmarks of configs/eval, the conditions, and the runs below FOLDER with their progress."""
    from mmrl.evaluation.commands.ls import listing

    listing(folder)
