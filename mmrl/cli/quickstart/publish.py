"""Write the quickstart's results: summary.json, report.html, two tables, and copies of the CARE arm's files at the top."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmrl.cli.quickstart.evaluate_levels import LevelRun
from mmrl.cli.quickstart.settings import ARMS, CONTROLS, LEVELS, NAMES, NEUTRAL, QuickstartPlan
from mmrl.data.formats.seed_bench_r1 import SeedBenchR1
from mmrl.data.media.frame_choice import FrameChoice
from mmrl.data.media.video import decode, read_image
from mmrl.evaluation import Summary, compare
from mmrl.evaluation.statistics import Difference
from mmrl.evaluation.tables.arms import ModelComparison
from mmrl.evaluation.tables.levels import levels_as_json
from mmrl.evaluation.tables.terminal import comparison_table, levels_table
from mmrl.report import ReportData, Rollout, RolloutCompletion, read_metrics, write_report
from mmrl.rewards.parse import parse
from mmrl.rewards.run_graders import fields
from mmrl.runtime.console import console
from mmrl.runtime.files import write_json
from mmrl.runtime.json_lines import read
from mmrl.runtime.provenance import commit, machine
from mmrl.types import Example, letters_of
from mmrl.world.graders import WORLD_GRADERS
from mmrl.world.script import SLOTS

Found = Mapping[LevelRun, Summary]
PAIRS = (("grpo", "base"), ("care", "base"), ("care", "grpo"))  # (model, model that is subtracted)
SHOWN = 3  # the number of prompts shown: from the beginning, the middle and the end
GAP = 2  # pixels between pictures
SLOT_BY_SLOT = FrameChoice(count=SLOTS, convention="centre")
CONTROLS_TITLE = f"Controls: {NEUTRAL} with its videos as they are (before), and seen otherwise or not at all (after)"


def publish(
    out: Path,
    world: Path,
    seed: int,
    plan: QuickstartPlan,
    seconds: Mapping[str, float],
    found: Found,
    learned: Mapping[str, Path],
) -> dict[str, Any]:
    """Write and print all results; return the summary."""
    facts = {
        "seconds": round(sum(seconds.values()), 1),
        "seed": seed,
        "commit": commit(),
        "machine": machine(gpu=False),
    }
    summary = facts | {"phases": dict(seconds), "plan": plan.facts} | differences_as_json(found)
    write_json(out / "summary.json", summary)
    for name in ("metrics.jsonl", "rollouts.jsonl", "config.yaml"):
        shutil.copyfile(out / "care" / name, out / name)
    shutil.copytree(learned["care"], out / "checkpoint", ignore=shutil.ignore_patterns("trainer"))
    write_report(out, page(out, world, plan, facts, found))
    show_tables(out, facts, found)
    return summary


def differences_as_json(found: Found) -> dict[str, Any]:
    """Return the differences between each arm and the base, between the arms, and between each control and the full video."""
    return {
        "arms": {arm: levels_as_json(changes(found, arm, "base")) for arm in ARMS},
        "care_minus_grpo": levels_as_json(changes(found, "care", "grpo")),
        "conditions": {arm: levels_as_json(controls(found, arm)) for arm in ARMS},
    }


def changes(found: Found, of: str, minus: str) -> dict[str, dict[str, Difference]]:
    """Return the differences of two models by level and metric."""
    return {level: compare(found[LevelRun(minus, level)], found[LevelRun(of, level)]) for level in LEVELS}


def controls(found: Found, arm: str) -> dict[str, dict[str, Difference]]:
    """Return the differences between each control and the full video for a trained model, by condition and metric."""
    full = found[LevelRun(arm, NEUTRAL)]
    return {condition: compare(full, found[LevelRun(arm, NEUTRAL, condition)]) for condition in CONTROLS}


def page(out: Path, world: Path, plan: QuickstartPlan, facts: Mapping[str, Any], found: Found) -> ReportData:
    """Return the contents of the report."""
    return ReportData(
        title="mmrl quickstart",
        subtitle="One small Qwen2.5-VL, one world with a planted shortcut; GRPO and GRPO-CARE from the same base",
        facts={k: str(v) for k, v in facts.items()} | {"command": f"mmrl quickstart --seed {facts['seed']}"},
        comparison=comparison(found, PAIRS),
        levels=named_controls(found),
        levels_title=CONTROLS_TITLE,
        runs={NAMES[arm]: read_metrics(out / arm / "metrics.jsonl") for arm in ARMS},
        rollouts=rollouts(out, world),
        notes=reader_notes(plan),
    )


def rollouts(out: Path, world: Path) -> list[Rollout]:
    """Return the first prompt of evenly spaced steps, each with both arms' answers at that step."""
    data = SeedBenchR1("annotations/training.jsonl").open(world)
    # reversed, so that the first group of each step overwrites the others
    written = {arm: {row["step"]: row for row in reversed(read(out / arm / "rollouts.jsonl"))} for arm in ARMS}
    steps = sorted(set.intersection(*(set(rows) for rows in written.values())))
    shown = [steps[round(place)] for place in np.linspace(0, len(steps) - 1, min(SHOWN, len(steps)))]
    pairs = [(arm, written[arm][step]) for step in shown for arm in ARMS]
    return [rollout(arm, row, data.example(data.ids.index(row["example"]), 0), world) for arm, row in pairs]


def rollout(arm: str, row: Mapping[str, Any], example: Example, world: Path) -> Rollout:
    """Return a group of completions with its prompt and frames."""
    options = map(" ".join, zip(letters_of(row["choices"]), row["choices"], strict=True))
    return Rollout(
        title=f"{NAMES[arm]}, step {row['step']}, example {row['example']}",
        prompt="\n".join([row["question"], *options]),
        completions=list(completions(row, example)),
        gold=row["answer"],
        strip=filmstrip([world / name for name in row["media"]]),
    )


def filmstrip(media: Sequence[Path]) -> np.ndarray:
    """Return one frame per slot, and the observation, side by side ``[h w 3]``."""
    clips = [decode(p, SLOT_BY_SLOT).frames if p.suffix == ".mp4" else read_image(p)[None] for p in media]
    white = ((0, 0), (0, 0), (0, GAP), (0, 0))
    return np.hstack(np.pad(np.concatenate(clips), white, constant_values=255))[:, :-GAP]


def completions(row: Mapping[str, Any], example: Example) -> Iterator[RolloutCompletion]:
    """Yield each completion with its rewards, and with the verdict whether its reasoning concludes its answer."""
    given = fields(example)
    for each in row["completions"]:
        yield RolloutCompletion(
            text=each["text"],
            rewards=each["rewards"] | {"total": each["total"]},
            correct=each["rewards"]["accuracy"] > 0,
            consistent=WORLD_GRADERS["world_consistency"](each["text"], **given) > 0,
            answer_span=parse(each["text"]).span,
            tokens=each["tokens"],
        )


def comparison(found: Found, pairs: tuple[tuple[str, str], ...]) -> ModelComparison:
    """Return the comparison of all models on all levels."""
    models = {name: {level: found[LevelRun(model, level)] for level in LEVELS} for model, name in NAMES.items()}
    return ModelComparison(models, [(NAMES[of], NAMES[minus]) for of, minus in pairs], undirected=("cue",))


def named_controls(found: Found) -> dict[str, dict[str, Difference]]:
    """Return the controls of both arms, as levels."""
    return {
        f"{NAMES[arm]}, {condition}": metrics for arm in ARMS for condition, metrics in controls(found, arm).items()
    }


def show_tables(out: Path, facts: Mapping[str, Any], found: Found) -> None:
    """Print the tables of the report in the terminal."""
    title = "In percent, with 95 % intervals; differences in points"
    console.print(comparison_table(comparison(found, PAIRS[-1:]), title))
    accuracies = {name: {"accuracy": metrics["accuracy"]} for name, metrics in named_controls(found).items()}
    console.print(levels_table(accuracies, f"\n{CONTROLS_TITLE}"))
    console.print(
        f"\n{facts['seconds']:.0f} s in all. Look at {out / 'report.html'}; GRPO-CARE's model is {out / 'checkpoint'}"
    )


def reader_notes(plan: QuickstartPlan) -> tuple[str, ...]:
    """Return the notes on how the numbers were measured and what they do not show."""
    return (
        "Answers are sampled at temperature 1, one an item. Intervals are 95 %, clustered by octet: the eight items of an "
        "octet share videos and text.",
        f"The border of the observation names a letter: the right one in {100 * plan.strength:.0f} of 100 items in training "
        "and on L1, by chance on L2 and L3; L1_neutral has the items of L1 with a grey border. cue: share of answers that "
        "are the letter of the border.",
        "consistency: the option that the reasoning concludes is the one that is answered, by the exact judge, over all "
        "completions; unparsable ones count as inconsistent. events: F1 of the events that the reasoning claims. support: "
        "need, action, letter and answer each follow from what the reasoning says before.",
        "L1 has the backgrounds of training, L2 others, L3 others and families of tasks that were never trained.",
        "GRPO is outcome-only and has no divergence to a reference (beta 0). GRPO-CARE has none either; it pays a bonus where "
        "a slow copy of the model finds a right answer likely after the reasoning. Both see the same prompts in the same "
        "order.",
        "Controls: without the video 50 % is the most that observation and text allow where the border is grey. The base "
        "was never shown a prompt without a video, so under observation_only its text often breaks off before an answer; last_frame "
        "(the last frame in the place of all) and shuffled keep the form of the prompt.",
        "One base, one seed. Differences between other seeds are not in these intervals.",
    )
