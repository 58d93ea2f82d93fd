"""The whole experiment in minutes on two CPU cores: a world of real MP4 files, a small real Qwen2.5-VL, SFT, GRPO-CARE, three levels."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from mmrl.build import build, policy_of
from mmrl.checkpoint import latest
from mmrl.config import Config, EvaluationSection, ModelSection, parse
from mmrl.evaluate import Summary, compare
from mmrl.examine import examine
from mmrl.origin import commit, machine
from mmrl.progress import console, progress
from mmrl.report import Completion, ReportData, Rollout, levels_as_json, levels_table, write_report
from mmrl.rewards.parse import parse as parse_text
from mmrl.statistics import Difference
from mmrl.world.base import build_model
from mmrl.world.build import Sizes, render, write_jsonl
from mmrl.world.demos import Demonstrations, drills
from mmrl.world.render import read_clip, sampled

MARK = ".quickstart"  # in a directory that a quickstart made and may make anew
LEVELS = ("L1", "L2", "L3")
FRAMES = 16  # all of a clip's: two an event
SHOWN = 6  # rollouts in the report
BATCH = 32  # demonstrations a step


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything."""

    sizes: Sizes = Sizes(train=240, L1=24, L2=24, L3=24)
    taught: Demonstrations = Demonstrations(
        copies=6, unfaithful=0.2
    )  # a fifth answer another letter than they conclude
    drill_steps: int = 340
    sft_steps: int = 320
    rl_steps: int = 60
    prompts: int = 6  # a step of RL; eight completions each


def quickstart(out: Path, seed: int, plan: Plan = Plan()) -> dict[str, Any]:
    """Run it all; the summary."""
    began = perf_counter()
    start_over(out)
    world = make_world(out, seed, plan)
    base = build_model(out / "base", seed)
    drilled = train(stage_drill(out, base, seed, plan))
    taught = train(stage_sft(out, drilled, world, seed, plan))
    before = look(taught, world, out / "eval" / "sft", seed)
    learned = train(stage_care(out, taught, world, seed, plan))
    after = look(learned, world, out / "eval" / "care", seed)
    return finish(out, seed, perf_counter() - began, before, after, world)


def start_over(out: Path) -> None:
    """An empty directory; one that an earlier quickstart made is made anew, any other is left alone."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARK).exists():
            raise FileExistsError(
                f"{out}: expected an empty directory or an earlier quickstart, found something else; give another --out"
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()


def make_world(out: Path, seed: int, plan: Plan) -> Path:
    """MP4 and PNG files in SEED-Bench-R1's layout."""
    octets = sum((plan.sizes.train, plan.sizes.L1, plan.sizes.L2, plan.sizes.L3))
    with progress("render", octets) as show:
        return render(
            out / "world",
            plan.sizes,
            seed=seed,
            workers=os.cpu_count() or 1,
            progress=lambda done, _: show(done),
            demonstrations=plan.taught,
        )


def train(config: Config) -> Path:
    """Run a stage; its last checkpoint."""
    run = build(config)
    run.fit()
    return latest(run.checkpoints)


def stage(out: Path, name: str, model: Path, world: Path, seed: int, **sections: Any) -> Config:
    """What the three stages share."""
    data = {
        "root": str(world),
        "template": "toy",
        "frames": {"count": FRAMES},
        "workers": 2,
        "cache_bytes": 2**30,
    } | sections.pop("data")
    rest = {
        "seed": seed,
        "out": str(out / name),
        "model": {"path": str(model), "compute": "float32"},
        "part_tokens": 8192,
    }
    return parse(Config, rest | {"data": data} | sections, f"quickstart.{name}")


def stage_drill(out: Path, model: Path, seed: int, plan: Plan) -> Config:
    """Text only: the words of the world, and how to find the letter of an option."""
    root = out / "drills"
    root.mkdir()
    write_jsonl(root / "drills.jsonl", drills(plan.drill_steps * BATCH, seed=seed))
    return stage(
        out,
        "drill",
        model,
        root,
        seed,
        data={"sets": [{"format": "messages", "file": "drills.jsonl"}], "template": "none"},
        algorithm={"name": "sft"},
        optimizer=teaching({"language": 2e-3, "projector": 0.0, "tower": 0.0}, plan.drill_steps),
        steps=plan.drill_steps,
        prompts_per_step=BATCH,
    )


def stage_sft(out: Path, model: Path, world: Path, seed: int, plan: Plan) -> Config:
    """Demonstrations over clips."""
    return stage(
        out,
        "sft",
        model,
        world,
        seed,
        data={
            "sets": [{"format": "seed_bench_r1_demonstrations", "file": "annotations/training_with_cot.jsonl"}],
            "template": "none",
        },
        algorithm={"name": "sft"},
        optimizer=teaching(rates(2e-3), plan.sft_steps),
        steps=plan.sft_steps,
        prompts_per_step=BATCH,
    )


def stage_care(out: Path, model: Path, world: Path, seed: int, plan: Plan) -> Config:
    """GRPO-CARE from the taught model."""
    return stage(
        out,
        "care",
        model,
        world,
        seed,
        data={"sets": [{"format": "seed_bench_r1", "file": "annotations/training.jsonl", "options": "drawn"}]},
        algorithm={"name": "care", "bonus": 0.5, "cap": 0.95, "margin": 0.0, "reference": {"name": "ema"}},
        rewards={"accuracy": {"grader": "accuracy"}, "format": {"grader": "format"}},
        rollout={"group_size": 8, "decoding": {"temperature": 1.0, "max_new_tokens": 64}},
        optimizer={
            "rates": rates(1e-4),
            "betas": [0.9, 0.98],
            "clip_norm": 1.0,
            "schedule": "constant",
            "warmup": min(5, plan.rl_steps),
        },
        steps=plan.rl_steps,
        prompts_per_step=plan.prompts,
        rollouts_every=5,
    )


def teaching(rates: Mapping[str, float], steps: int) -> dict[str, Any]:
    """The optimizer of both supervised stages: a short warm-up, a plateau, a linear fall over the last two fifths."""
    return {
        "rates": dict(rates),
        "betas": [0.9, 0.98],
        "clip_norm": 1.0,
        "schedule": "linear",
        "warmup": min(20, steps),
        "decay_from": 0.6,
        "final": 0.05,
    }


def rates(rate: float) -> dict[str, float]:
    """The same learning rate everywhere."""
    return {"language": rate, "projector": rate, "tower": rate}


def examination(world: Path, seed: int) -> EvaluationSection:
    """The three levels, sampled at temperature 1, judged exactly."""
    return parse(
        EvaluationSection,
        {
            "root": str(world),
            "sets": [
                {"name": level, "format": "seed_bench_r1", "file": f"annotations/validation_{level}.jsonl"}
                for level in LEVELS
            ],
            "template": "toy",
            "graders": {
                "accuracy": "accuracy",
                "consistency": "world_consistency",
                "support": "world_support",
                "events": "world_events",
                "format": "format",
            },
            "frames": {"count": FRAMES},
            "decoding": {"temperature": 1.0, "max_new_tokens": 64},
            "batch": 96,
            "seed": seed,
        },
        "quickstart.evaluation",
    )


def look(model: Path, world: Path, out: Path, seed: int) -> dict[str, Summary]:
    """Examine a checkpoint."""
    import torch

    section = examination(world, seed)
    config = parse(ModelSection, {"path": str(model), "compute": "float32"}, "quickstart.model")
    policy = policy_of(config, section.template, torch.device("cpu"))
    return examine(policy, section, out, max_rows=256)


def finish(
    out: Path, seed: int, seconds: float, before: Mapping[str, Summary], after: Mapping[str, Summary], world: Path
) -> dict[str, Any]:
    """Summary, report, table; the last stage's files where a reader looks first."""
    levels = {level: compare(before[level], after[level]) for level in LEVELS}
    facts = {"seconds": round(seconds, 1), "seed": seed, "commit": commit(), "machine": machine()}
    summary = facts | {"arms": {"care": levels_as_json(levels)}}
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    for name in ("metrics.jsonl", "rollouts.jsonl", "config.yaml"):
        shutil.copyfile(out / "care" / name, out / name)
    shutil.copytree(latest(out / "care" / "checkpoints"), out / "checkpoint", ignore=shutil.ignore_patterns("trainer"))
    write_report(out, report(out, facts, levels, world))
    console.print(levels_table(shown(levels), "before: the SFT model; after: GRPO-CARE"))
    console.print(
        f"{facts['seconds']:.0f} s in all. Look at {out / 'report.html'}; the model is in {out / 'checkpoint'}"
    )
    return summary


def shown(levels: Mapping[str, Mapping[str, Difference]]) -> dict[str, dict[str, Difference]]:
    """The two metrics that the project is about."""
    return {
        level: {m: d for m, d in metrics.items() if m in ("accuracy", "consistency")}
        for level, metrics in levels.items()
    }


def report(
    out: Path, facts: Mapping[str, Any], levels: Mapping[str, Mapping[str, Difference]], world: Path
) -> ReportData:
    """What the page shows."""
    rows = [json.loads(line) for line in (out / "rollouts.jsonl").read_text().splitlines()]
    chosen = rows[:: max(1, len(rows) // SHOWN)][:SHOWN]
    return ReportData(
        title="mmrl quickstart",
        subtitle="A small Qwen2.5-VL on the toy world: supervised fine-tuning, then GRPO-CARE",
        facts={k: str(v) for k, v in facts.items()} | {"command": "mmrl quickstart"},
        levels=levels,
        rollouts=[rollout(row, world) for row in chosen],
        notes=NOTES,
    )


NOTES = (
    "Answers are sampled at temperature 1, one an item. Intervals are 95 %, of the difference, clustered by octet: the eight items "
    "of an octet share videos and text.",
    "Consistency is the exact judge's: the option that the reasoning concludes is the one that is answered. It is over all "
    "completions; unparsable ones count as inconsistent.",
    "L1 has the training's backgrounds, L2 others, L3 others and a family of tasks that was never trained.",
    "One seed. Differences between runs of other seeds are not in these intervals.",
    "The small model starts from random weights, but for two pairs of attention heads that look up words (mmrl/world/look_up.py). A fifth of "
    "its demonstrations answer another letter than they conclude: that is the inconsistency which RL then meets.",
)


def rollout(row: Mapping[str, Any], world: Path) -> Rollout:
    """A group of completions with the frames that the model saw."""
    completions = [
        Completion(
            text=c["text"],
            rewards=c["rewards"] | {"total": c["total"]},
            correct=c["rewards"]["accuracy"] > 0,
            answer_span=parse_text(c["text"]).span,
            tokens=c["tokens"],
        )
        for c in row["completions"]
    ]
    options = "\n".join(f"{letter} {text}" for letter, text in zip("ABCD", row["choices"], strict=False))
    title = f"step {row['step']}, example {row['example']}"
    return Rollout(title, f"{row['question']}\n{options}", completions, row["answer"], strip(row["media"], world))


def strip(media: Sequence[str], world: Path) -> np.ndarray:
    """The sampled frames and the observation, side by side ``[h w 3]``."""
    pictures = []
    for path in (world / name for name in media):
        if path.suffix == ".mp4":
            frames = read_clip(path)
            pictures += [frames[i] for i in sampled(8, len(frames))]  # one an event
        else:
            pictures.append(np.asarray(Image.open(path).convert("RGB")))
    gap = np.full((pictures[0].shape[0], 2, 3), 255, dtype=np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)
