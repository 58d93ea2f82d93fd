"""The command line: what is heavy is imported by the command that needs it."""

import json
import shlex
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

GENERAL = "vsi_bench,videommmu,mmvu,mvbench,tempcompass,videomme,longvideobench,video_holmes,tvbench,egoplan_bench2"
Seeds = Annotated[str, typer.Option(help="As in 0-4 or 0,2,7.")]
Base = Annotated[Path | None, typer.Option(help="The model to start from; the one that comes with mmrl without it.")]

Model = Annotated[str, typer.Option(help="A Hugging Face directory or name.")]
Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--condition", help="Ask once more, as in blind or shuffled; may be repeated. `mmrl eval ls` lists them."
    ),
]
Retry = Annotated[bool, typer.Option("--retry", help="Ask again what could not be asked.")]


@world.command("ceilings")
def world_ceilings(
    octets: Annotated[int, typer.Option(min=1, help="Octets a family; the gates are meant for 1,500.")] = 1500,
    seed: Seed = 0,
    root: Root = None,
    as_json: Json = False,
    as_markdown: Markdown = False,
    out: Out = None,
) -> None:
    """Bound what a solver with part of the information can reach, family by family.

    Exit status 1 if a family leaks: blind is not exactly 25, observation only, video only, or observation and last
    event not exactly 50, unordered events not exactly 50 where order matters, everything not 100, one fixed event
    above 74, or letters not equally often right.
    """
    from benchmark.procbench.report import ceilings_drawn, ceilings_of_files

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
    """Show what learners get from the text alone, and from the text with the last event (logistic regression, random forest).

    Exit status 1 if one of them is not at 25 % in every single octet, or if letters are not equally often right. Needs
    scikit-learn (in the extra "dev").
    """
    from benchmark.procbench.report import audit_drawn, audit_of_files

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
    from benchmark.procbench.report import baselines_drawn

    finish(*baselines_drawn(octets, natural, taught, seed, as_markdown), as_json, out)


@world.command("pixels")
def world_pixels(
    root: Annotated[Path, typer.Option(help="A rendered benchmark.")],
    octets: Annotated[int, typer.Option(min=1, help="Of each of L1, L2 and L3, from the first.")] = 30,
    frames: Annotated[str, typer.Option(help="How many frames of a clip are looked at, with commas.")] = "8,16",
    as_json: Json = False,
    as_markdown: Markdown = False,
    out: Out = None,
) -> None:
    """Show what an oracle that reads pixels gets right on a rendered benchmark, by reader and number of frames."""
    from benchmark.procbench.report import pixels_of_files

    counts = [int(count) for count in frames.split(",")]
    finish(*pixels_of_files(root, octets, counts, as_markdown), as_json, out)


@app.command("table")
def results_table(
    folder: Annotated[
        Path, typer.Argument(help="One JSON file a run; benchmark/experiments/arms/tables.py says which fields.")
    ],
    metrics: Annotated[str | None, typer.Option(help="Only these, in this order, as in accuracy,consistency.")] = None,
    arms: Annotated[str | None, typer.Option(help="Only these, as in grpo,care.", show_default="all")] = None,
    name: Annotated[str | None, typer.Option(help="Put before the names of what is written: NAME.table.json.")] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a line a level and arm, as Markdown.")] = False,
) -> None:
    """Arms over seeds: means, and differences paired by seed, with 95 % t intervals whose unit is the seed.

    Writes FOLDER/table.json and FOLDER/table.png.
    """
    from benchmark.experiments.arms import tables as arm_tables
    from benchmark.experiments.arms.plot import draw
    from benchmark.tables import markdown, show, terminal
    from mmrl.runtime.files import write_json

    runs = arm_tables.of_arms(arm_tables.read(folder), arms.split(",") if arms else None)
    wanted = metrics.split(",") if metrics else None
    means = arm_tables.chosen(arm_tables.spreads(runs), wanted)
    differences = arm_tables.chosen(arm_tables.contrasts(runs), wanted)
    if as_markdown:
        show(markdown(arm_tables.arm_cells(means), words=2))
    else:
        show(terminal(arm_tables.mean_cells(means), "Means over seeds", words=3))
        show(terminal(arm_tables.difference_cells(differences), "\nPaired by seed", words=3))
    table = folder / (f"{name}.{arm_tables.TABLE}" if name else arm_tables.TABLE)
    write_json(table, arm_tables.as_json(runs, means, differences))
    draw(means, table.with_suffix(".png"))
    typer.echo(f"{table} and {table.with_suffix('.png')} written", err=as_markdown)


@app.command("rl")
def rl_arms(
    out: Annotated[
        Path, typer.Argument(help="One JSON file a run; worlds, trainings and logs are in its folder work.")
    ],
    arms: Annotated[str, typer.Option(help="Some of grpo, grpo_kl0.04, grpo_kl0.1, care, care_frozen.")] = "grpo,care",
    seeds: Seeds = "0-4",
    steps: Annotated[int, typer.Option(min=1, help="Of reinforcement learning.")] = 120,
    strengths: Annotated[str, typer.Option(help="How often the border is right in training and on L1.")] = "0.8",
    base: Base = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one process and thread each.")] = 2,
    plan: Annotated[bool, typer.Option("--plan", help="Only list what would be run, and how long it takes.")] = False,
) -> None:
    """Train arms from the base model, as the quickstart does, over seeds and cue strengths; examine before and after.

    What is finished is not run again. Exit status 1 if a run failed; the others go on. Show it all with the command table.
    """
    from dataclasses import replace

    from benchmark.experiments.arms import run_arms as arm_runs
    from benchmark.experiments.option_lists import numbers
    from benchmark.experiments.option_lists import strengths as shares
    from benchmark.tables import show, terminal

    usual = replace(arm_runs.USUAL, steps=steps, base=base or arm_runs.USUAL.base)
    wanted = arm_runs.wanted(out, arms.split(","), numbers(seeds), shares(strengths), usual)
    if plan:
        cells, left = arm_runs.listing(wanted, jobs)
        show(terminal(cells))
        typer.echo(left)
    elif arm_runs.run(wanted, jobs):
        raise typer.Exit(1)


@app.command("learners")
def restricted_learners(
    out: Annotated[Path, typer.Argument(help="One JSON file a learner, a table and a picture of the curves.")],
    inputs: Annotated[
        str, typer.Option(help="What they are shown.")
    ] = "full,blind,observation,video,last_frame,shuffled",
    steps: Annotated[int, typer.Option(min=1, help="Of learning from the oracle's demonstrations.")] = 200,
    octets: Annotated[int, typer.Option(min=1, help="That demonstrations are made of.")] = 600,
    seeds: Seeds = "0",
    base: Base = None,
) -> None:
    """Teach learners that are shown less than the whole: what is left of their accuracy on fresh octets of L1.

    Learners whose file is there are not taught again; the table and the picture show all of the folder's.
    """
    from benchmark.experiments.learners import page as learners_page
    from benchmark.experiments.learners import teach as learners
    from benchmark.experiments.option_lists import numbers
    from benchmark.tables import markdown, show, terminal
    from mmrl.world import BASE

    course = learners.Course(base or BASE, steps, octets)
    learners.run(out, inputs.split(","), numbers(seeds), course, typer.echo)
    found = learners_page.read(out)
    show(terminal(learners_page.cells(found), learners_page.TITLE))
    (out / "table.md").write_text(markdown(learners_page.cells(found)) + "\n")
    learners_page.draw(found, out / "curves.png")
    typer.echo(f"{out / 'table.md'} and {out / 'curves.png'} written")


@app.command("base")
def base_model(
    out: Annotated[Path, typer.Argument(help="The JSON file.")],
    base: Base = None,
    octets: Annotated[int, typer.Option(min=1, help="Of each level, eight items each, a seed.")] = 24,
    seeds: Annotated[int, typer.Option(min=1, help="How many worlds, one a seed.")] = 5,
) -> None:
    """Show what the base model can do: answers, reasoning, the border, and who sees and who deduces."""
    from benchmark.experiments.base_model import card as base_card
    from benchmark.experiments.base_model import tables as base_page
    from benchmark.paths import told
    from benchmark.tables import record, show, terminal
    from mmrl.runtime.files import write_json
    from mmrl.world import BASE

    found = base_card.card(base or BASE, base_card.measured(base or BASE, octets, seeds, typer.echo))
    named = "" if base is None else f" --base {told(base)}"
    asked = f"base {told(out)} --octets {octets} --seeds {seeds}{named}"
    write_json(out, record(asked, octets=octets, seeds=seeds, **found))
    for title, cells in base_page.tables(found):
        show(terminal(cells, title))
    typer.echo(f"{out} written")


@app.command("speed")
def speed_of_a_step(
    out: Annotated[Path, typer.Argument(help="One JSON file a point, a table and a picture.")] = Path(
        "benchmark/results/speed"
    ),
    quick: Annotated[
        bool, typer.Option("--quick", help="The central point only, in under 150 seconds; the last line is JSON.")
    ] = False,
    prompts: Annotated[
        str | None, typer.Option(help="Tokens of a prompt, about: some of 350, 1100, 2100, 4200.")
    ] = None,
    groups: Annotated[str | None, typer.Option(help="Completions a prompt, as in 4,8,16.")] = None,
    new_tokens: Annotated[str | None, typer.Option(help="Tokens a completion, as in 64,256.")] = None,
    vocabularies: Annotated[str | None, typer.Option(help="Entries, as in 320,32000.")] = None,
    towers: Annotated[str | None, typer.Option(help="The vision tower: trained, frozen or both.")] = None,
    checkpointing: Annotated[str | None, typer.Option(help="Activations computed again: off, on or both.")] = None,
    contenders: Annotated[
        str | None, typer.Option(help="Some of mmrl, plain, floor, trl; without it all that are installed.")
    ] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="After one step to warm up.")] = 3,
    threads: Annotated[int | None, typer.Option(min=1, help="Of every process; all processors without it.")] = None,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Models of the sizes of 3B and 7B in bfloat16 on one GPU.")
    ] = False,
    clock: Annotated[
        str, typer.Option(help="Ratios by wall time, or by processor time (one thread) where others use the machine.")
    ] = "wall",
    plan: Annotated[bool, typer.Option("--plan", help="Only list what would be run, and how long it takes.")] = False,
) -> None:
    """mmrl, transformers alone and TRL on one model and the same prompts: seconds, peak memory, work, beside a floor.

    Without options of a point these are the published ones: P 1,100, G 8, T 64, V 320, tower trained; what differs from that in
    one thing; and corners. With any such option every combination is a point, the others as there. What is finished is not run
    again. Exit status 1 if something failed.
    """
    from benchmark.speed import command

    axes = command.Axes(prompts, groups, new_tokens, vocabularies, towers, checkpointing)
    if quick:
        command.central(axes, command.How(contenders, repetitions, threads, clock), typer.echo)
        return
    how = command.How(contenders, repetitions, threads, clock, gpu)
    if not command.sweep(out, axes, how, plan, typer.echo):
        raise typer.Exit(1)


@app.command("seed_bench_r1")
def seed_bench_r1(
    model: Model,
    data: Annotated[Path, typer.Option(help="SEED-Bench-R1 unpacked: annotations, videos, images; or a ProcBench.")],
    out: Annotated[Path, typer.Option(help="Records and tables.")] = Path("runs/seed_bench_r1"),
    condition: Conditions = None,
    partial: Annotated[
        int | None,
        typer.Option(
            "--partial", min=1, help="Only the first N of each level; the table says so, and the status is 1."
        ),
    ] = None,
    retry: Retry = False,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key.to.it=value of configs/eval/seed_bench_r1.yaml.", metavar="[KEY=VALUE]..."),
    ] = None,
) -> None:
    """L1, L2 and L3 with its domains: accuracy read strictly, officially and leniently, consistency by rules, the papers' rows.

    Interrupted, it goes on. Refuses files that hold fewer questions than the release. Exit status 1 where the table is
    partial or a question could not be asked.
    """
    from benchmark.protocols.seed_bench_r1.run import Asked, run

    told = shlex.join(sys.argv[1:])
    raise typer.Exit(run(Asked(model, data, out, condition or (), partial, retry, overrides or (), told)))


@app.command("general_video")
def general_video(
    model: Model,
    data: Annotated[
        Path, typer.Option(help="The data: a folder of each benchmark's name, or one that holds its files.")
    ],
    only: Annotated[
        str, typer.Option(help="Benchmarks, with commas; docs/benchmarks.md lists them.", show_default="all ten")
    ] = GENERAL,
    out: Annotated[Path, typer.Option(help="Records and tables; a folder each.")] = Path("runs/general_video"),
    condition: Conditions = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Ask what is there of a benchmark; its table is labelled partial.")
    ] = False,
    retry: Retry = False,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key.to.it=value of configs/eval/NAME.yaml, for all of them.", metavar="[KEY=VALUE]..."),
    ] = None,
) -> None:
    """Ask a model the questions of general video benchmarks and print each one's own table. Interrupted, it goes on.

    Exit status 1 where a table is missing, partial, or holds questions that could not be asked.
    """
    from benchmark.protocols.general_video.result import Asked
    from benchmark.protocols.general_video.run import run

    told = shlex.join(sys.argv[2:])
    asked = Asked(only.split(","), model, data, out, condition or (), partial, retry, overrides or (), told)
    raise typer.Exit(run(asked))


def finish(figures: Mapping[str, Any], shown: list, as_json: bool, out: Path | None) -> None:
    """Prints tables or JSON, writes the JSON where asked, and ends with status 1 on a leak."""
    from benchmark.tables import show
    from mmrl.runtime.files import write_json

    if as_json:
        typer.echo(json.dumps(figures, indent=1, allow_nan=False))
    else:
        for part in shown:
            show(part)
    if out is not None:
        write_json(out, figures)
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
