"""The quickstart as data: sizes, the configs of both arms, and the evaluations."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmrl.config.load import parse
from mmrl.config.schema import Config, EvaluationSection
from mmrl.data.conditions import Condition
from mmrl.runtime.files import short_hash
from mmrl.world import BASE
from mmrl.world.cues import Cues
from mmrl.world.splits import Sizes

AXES = ("palette", "texture")  # the axes that L2 and L3 take from the test pool
FRAMES = 16  # all frames of a clip, two per event
LOOK: dict[str, Any] = {"template": "toy", "frames": {"count": FRAMES}, "workers": 0}  # in training and evaluations
LEVELS = ("L1", "L1_neutral", "L2", "L3")
NEUTRAL = "L1_neutral"  # the same items as L1, without the cue
CONTROLS: tuple[Condition, ...] = ("observation_only", "last_frame", "shuffled")  # how arms see NEUTRAL once more
NAMES = {"base": "base", "grpo": "GRPO, no KL", "care": "GRPO-CARE"}
ARMS: dict[str, dict[str, Any]] = {
    "grpo": {"name": "grpo", "beta": 0.0, "reference": None},
    "care": {"name": "care"},  # with its defaults, which configs/toy_care.yaml spells out
}
GRADERS = {"accuracy": "accuracy"} | {name: f"world_{name}" for name in ("consistency", "events", "support")}


@dataclass(frozen=True, slots=True)
class QuickstartPlan:
    """The sizes of the quickstart's parts."""

    base: Path = BASE
    sizes: Sizes = Sizes(train=120, L1=36, L2=36, L3=36)  # octets: eight items, four clips each
    strength: float = 0.8  # how often the cue is right in training and L1; in L2 and L3 it is by chance
    steps: int = 120
    prompts: int = 6  # a step
    completions: int = 8  # a prompt
    rate: float = 1e-4
    new_tokens: int = 80  # at most; a whole reasoning takes about 60

    @property
    def cues(self) -> Cues:
        """The border of the observation names a letter."""
        return Cues.planted("border", self.strength)

    @property
    def facts(self) -> dict[str, Any]:
        """The plan for the summary; the hash of its weights replaces the path of the base model."""
        weights = short_hash((self.base / "model.safetensors").read_bytes())
        return asdict(self) | {"base": weights, "axes": AXES, "frames": FRAMES}


def training_config(arm: str, plan: QuickstartPlan, world: Path, out: Path, seed: int) -> Config:
    """Return the config of an arm; both arms have the same prompts, seed and settings, and different algorithms."""
    annotations = {"format": "seed_bench_r1", "file": "annotations/training.jsonl", "options": "file"}
    settings = {
        "seed": seed,
        "out": str(out),
        "model": {"path": str(plan.base), "compute_dtype": "float32"},
        "data": LOOK | {"root": str(world), "sets": [annotations]},
        "algorithm": ARMS[arm],
        "rewards": {"accuracy": {"grader": "accuracy"}, "format": {"grader": "format"}},
        "rollout": {"group_size": plan.completions, "decoding": decoding(plan)},
        "optimizer": optimizer(plan),
        "steps": plan.steps,
        "prompts_per_step": plan.prompts,
        "max_tokens_per_micro_batch": 8192,
    }
    return parse(Config, settings, f"quickstart.{arm}")


def optimizer(plan: QuickstartPlan) -> dict[str, Any]:
    """Return the optimizer section: AdamW at a constant rate after a short warm-up."""
    return {
        "learning_rates": dict.fromkeys(("language_model", "projector", "vision_tower"), plan.rate),
        "betas": [0.9, 0.98],
        "max_grad_norm": 1.0,
        "schedule": "constant",
        "warmup_steps": min(5, plan.steps),
    }


def decoding(plan: QuickstartPlan) -> dict[str, Any]:
    """Return the decoding settings of training and evaluation."""
    return {"temperature": 1.0, "max_new_tokens": plan.new_tokens}


def evaluation_section(
    level: str, condition: Condition, plan: QuickstartPlan, world: Path, seed: int
) -> EvaluationSection:
    """Return the evaluation of one level under one condition, with one sample per item and exact judges.

    The grader of the cue is left out on the neutral level, whose rows have no cue.
    """
    settings = LOOK | {
        "root": str(world),
        "sets": [{"name": level, "format": "seed_bench_r1", "file": f"annotations/validation_{level}.jsonl"}],
        "graders": GRADERS if level == NEUTRAL else GRADERS | {"cue": "world_cue"},
        "condition": condition,
        "decoding": decoding(plan),
        "batch_size": 96,
        "seed": seed,
    }
    return parse(EvaluationSection, settings, f"quickstart.{level}")
