"""The command line: what is heavy is imported by the command that needs it."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="mmrl's own measurements. What they mean and which files they make: benchmark/README.md.",
)
world = typer.Typer(no_args_is_help=True, help="ProcBench, the toy world: what can be known of it without a network.")
app.add_typer(world, name="world")

Json = Annotated[bool, typer.Option("--json", help="Print JSON (figures, command, commit, machine), not the table.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")]
Out = Annotated[Path | None, typer.Option(help="Also write the JSON to this file.")]
Seed = Annotated[int, typer.Option(help="Same seed, same octets.")]
Root = Annotated[
    Path | None,
    typer.Option(help="A rendered benchmark: read its annotations/validation_*.jsonl; its figures are not gated."),
]


@world.command("ceilings")
def world_ceilings(
    octets: Annotated[int, typer.Option(min=1, help="Octets a family; the gates are meant for 1,500.")] = 1500,
    seed: Seed = 0,
    root: Root = None,
    as_json: Json = False,
    as_markdown: Markdown = False,
    out: Out = None,
) -> None:
    """What a solver with part of the information can reach, family by family (facts/evaluation.md 5.4).

    Exit status 1 if a family leaks: blind is not exactly 25, observation only, video only, or observation and last
    event not exactly 50, unordered events not exactly 50 where order matters, everything not 100, one fixed event
    above 74, or letters not equally often right.
    """
    from benchmark.world.report import ceilings_drawn, ceilings_of_files

    report = ceilings_drawn(octets, seed, as_markdown) if root is None else ceilings_of_files(root, as_markdown)
    finish(*report, as_json, out)


@world.command("audit")
def world_audit(
    octets: Annotated[int, typer.Option(min=5, help="Octets a family, eight items each.")] = 25,
    seed: Seed = 0,
    root: Root = None,
    as_json: Json = False,
    out: Out = None,
) -> None:
    """What learners get from the text alone, and from the text with the last event (logistic regression, random forest).

    Exit status 1 if one of them is not at 25 % in every single octet, or if letters are not equally often right. Needs
    scikit-learn (in the extra "dev").
    """
    from benchmark.world.report import audit_drawn, audit_of_files

    report = audit_drawn(octets, seed) if root is None else audit_of_files(root, seed)
    finish(*report, as_json, out)


@world.command("baselines")
def world_baselines(
    octets: Annotated[int, typer.Option(min=2, help="Octets of each of L1, L2 and L3.")] = 150,
    natural: Annotated[int, typer.Option(min=0, help="Natural items of each level; reported apart.")] = 400,
    taught: Annotated[int, typer.Option(min=1, help="Octets (and 4 natural items each) that learners read.")] = 250,
    seed: Seed = 0,
    as_json: Json = False,
    as_markdown: Markdown = False,
    out: Out = None,
) -> None:
    """Chance, the most frequent letter, the longest option, readers of text, the symbolic oracle; no network."""
    from benchmark.world.report import baselines_drawn

    finish(*baselines_drawn(octets, natural, taught, seed, as_markdown), as_json, out)


@app.command("table")
def results_table(
    folder: Annotated[Path, typer.Argument(help="One JSON file a run; benchmark/results.py says which fields.")],
    metrics: Annotated[str | None, typer.Option(help="Only these, in this order, as in accuracy,consistency.")] = None,
) -> None:
    """Arms over seeds: means, and differences paired by seed, with 95 % t intervals whose unit is the seed.

    Writes FOLDER/table.json and FOLDER/table.png.
    """
    from benchmark import results
    from benchmark.plot import draw
    from benchmark.tables import show, terminal, write

    runs, wanted = results.read(folder), metrics.split(",") if metrics else None
    means = results.chosen(results.spreads(runs), wanted)
    differences = results.chosen(results.contrasts(runs), wanted)
    show(terminal(results.mean_cells(means), "Means over seeds", words=3))
    show(terminal(results.difference_cells(differences), "\nPaired by seed", words=3))
    write(folder / results.TABLE, results.as_json(runs, means, differences))
    draw(means, folder / "table.png")
    typer.echo(f"{folder / results.TABLE} and {folder / 'table.png'} written")


def finish(figures: Mapping[str, Any], shown: list, as_json: bool, out: Path | None) -> None:
    """Prints tables or JSON, writes the JSON where asked, and ends with status 1 on a leak."""
    from benchmark.tables import show, write

    if as_json:
        typer.echo(json.dumps(figures, indent=1, allow_nan=False))
    else:
        for part in shown:
            show(part)
    if out is not None:
        write(out, figures)
    for leak in figures.get("leaks", ()):
        typer.echo(f"LEAK {leak}", err=True)
    if figures.get("leaks"):
        raise typer.Exit(1)


def main() -> None:
    """The entry point: errors of the user's or of the world's become one message, and status 2."""
    try:
        app()
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        sys.exit(2)
