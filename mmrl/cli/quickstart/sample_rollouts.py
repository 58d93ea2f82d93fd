"""Rollouts for the report: the completions of both arms to the same prompts, under the frames that they saw."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmrl.cli.quickstart.settings import ARMS, NAMES
from mmrl.data.formats.seed_bench_r1 import SeedBenchR1
from mmrl.data.media.frame_choice import FrameChoice
from mmrl.data.media.video import decode, read_image
from mmrl.report import Rollout, RolloutCompletion
from mmrl.rewards.parse import parse
from mmrl.rewards.run_graders import fields
from mmrl.runtime.json_lines import read
from mmrl.types import Example, letters_of
from mmrl.world.graders import WORLD_GRADERS
from mmrl.world.script import SLOTS

SHOWN = 3  # prompts: at the beginning, in the middle, at the end
SLOT_BY_SLOT = FrameChoice(count=SLOTS, convention="centre")


def rollouts(out: Path, world: Path) -> list[Rollout]:
    """Return the first prompt of some steps, each as both arms answered it then. Nobody chose them."""
    data = SeedBenchR1("annotations/training.jsonl").open(world)
    # a step's first group stays
    written = {arm: {row["step"]: row for row in reversed(read(out / arm / "rollouts.jsonl"))} for arm in ARMS}
    steps = sorted(set.intersection(*(set(rows) for rows in written.values())))
    shown = [steps[round(place)] for place in np.linspace(0, len(steps) - 1, min(SHOWN, len(steps)))]
    pairs = [(arm, written[arm][step]) for step in shown for arm in ARMS]
    return [rollout(arm, row, data.example(data.ids.index(row["example"]), 0), world) for arm, row in pairs]


def rollout(arm: str, row: Mapping[str, Any], example: Example, world: Path) -> Rollout:
    """Return a group of completions with what the model saw."""
    paths = [world / name for name in row["media"]]  # of a clip, which is shown slot by slot, and of the observation
    clips = [decode(p, SLOT_BY_SLOT).frames if p.suffix == ".mp4" else read_image(p)[None] for p in paths]
    options = map(" ".join, zip(letters_of(row["choices"]), row["choices"], strict=True))
    return Rollout(
        title=f"{NAMES[arm]}, step {row['step']}, example {row['example']}",
        prompt="\n".join([row["question"], *options]),
        completions=list(completions(row, example)),
        gold=row["answer"],
        strip=np.concatenate(clips),
    )


def completions(row: Mapping[str, Any], example: Example) -> Iterator[RolloutCompletion]:
    """Yield each with its rewards, and whether its reasoning concludes what it answers."""
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
