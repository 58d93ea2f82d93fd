"""mmrl's own step: a run as ``mmrl train`` makes it, whose steps are watched."""

from pathlib import Path
from typing import Any

from benchmark.speed import reward
from benchmark.speed.case import Case
from benchmark.speed.check import logp_errors
from benchmark.speed.clock import Counts, Peak, Watch, gradient_bytes
from mmrl.config.load import parse
from mmrl.config.schema import Config
from mmrl.models.reader import Reader
from mmrl.training.build import build

PHASES = {  # what is called for each, of a trainer's parts
    "data": ("collector", "prepare"),
    "sample": ("collector", "sample"),
    "reward": ("collector", "grade"),
    "reference": ("forward", "add_reference_logprobs"),
    "update": ("", "update"),
}
WARM = 1  # steps before the clock counts
RATE = 1e-6


def config(case: Case, root: Path, out: Path, steps: int) -> Config:
    """One prompt a step, as its YAML would say it."""
    tower = RATE if case.tower == "trained" else 0.0
    reference = {"name": "frozen"} if case.beta else None
    plain = {
        "seed": 0,
        "out": str(out),
        "model": {
            "path": str(root / "model"),
            "compute_dtype": case.compute,
            "gradient_checkpointing": case.checkpointing,
        },
        "data": {
            "root": str(root),
            "sets": [{"format": "messages", "file": "rows.jsonl"}],
            "template": "plain",
            "frames": {"count": case.view.frames},
            "workers": 0,
        },
        "algorithm": {"name": "grpo", "beta": case.beta, "reference": reference},
        "rewards": {"letters": {"grader": f"{reward.__file__}:letters"}},
        "rollout": {"group_size": case.group, "decoding": {"max_new_tokens": case.new_tokens}},
        "optimizer": {
            "learning_rates": {"language_model": RATE, "projector": tower, "vision_tower": tower},
            "schedule": "constant",
        },
        "steps": steps,
        "prompts_per_step": 1,
        "trackers": [],
    }
    return parse(Config, plain, "speed")


def measure(case: Case, root: Path, out: Path, repetitions: int) -> dict[str, Any]:
    """Steps about prompts that were not seen before; peak memory, counts, and how exact the log-probabilities are."""
    run = build(config(case, root, out, WARM + repetitions), quiet=True)
    policy, reference = run.feeder.policy, run.trainer.reference
    counts, watch, peak = Counts(), Watch(), Peak()
    for reader in filter(None, (policy, reference)):
        without_end(reader, policy.end)
        counts.watch(reader.model)
    for name, (part, call) in PHASES.items():
        owner = getattr(run.trainer, part) if part else run.trainer
        setattr(owner, call, watch.around(name, getattr(owner, call)))
    steps = []
    for number in range(WARM + repetitions):
        if number == WARM:
            counts.clear()
            peak.start()
        with watch("step"):
            steps.append(run.step())
    above = peak.above(gradient_bytes(policy.model))
    group = run.trainer.last[0].group
    assert group.completion_mask.sum() == case.group * case.new_tokens, "a completion ended early"
    watch.rest("train", "step", PHASES)
    return {
        "prompt_tokens": len(group.prompt.tokens),
        "laps": watch.spreads(repetitions),
        "peak_bytes_above": above,
        "work": counts.per_step(repetitions, case.view.patches),
        "reported": {k: v for k, v in steps[-1].items() if k.startswith(("work/", "media/", "cache/", "sampling/"))},
        "logp_error": logp_errors(policy, group, root) if case.compute == "float32" else None,
        "optimizer": "AdamW, float32 masters and moments, nothing offloaded",
    }


def without_end(reader: Reader, end: int) -> None:
    """Never end: every completion is as long as allowed."""
    reader.rules.allowed[end] = False
