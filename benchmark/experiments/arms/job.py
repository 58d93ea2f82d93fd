"""The jobs to run: a training of one arm, or the examination of the base that trainings share; names and files."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmark.experiments.arms.tables import parsed
from benchmark.paths import told
from mmrl.cli.quickstart.settings import ARMS as SHOWN
from mmrl.cli.quickstart.settings import QuickstartPlan
from mmrl.world import BASE
from mmrl.world.splits import Sizes

FROZEN = {"name": "frozen"}
ARMS: dict[str, dict[str, Any]] = {
    "grpo": SHOWN["grpo"],  # outcome only, no divergence to a reference
    "grpo_kl0.04": {"name": "grpo", "beta": 0.04, "reference": FROZEN},
    "grpo_kl0.1": {"name": "grpo", "beta": 0.1, "reference": FROZEN},
    "care": SHOWN["care"],  # the reference follows the policy
    "care_frozen": SHOWN["care"] | {"reference": FROZEN},
}
UNTRAINED = "base"  # the job that renders a world and examines the base on it
USUAL = QuickstartPlan()


@dataclass(frozen=True, slots=True)
class Job:
    """One process's work. Runs of a seed and a cue strength share their world and the examination of their base."""

    arm: str  # of ARMS, or UNTRAINED
    seed: int
    plan: QuickstartPlan
    out: Path

    @property
    def marks(self) -> str:
        """Return what tells it from the usual: @STRENGTH of the cue, +NAME of the base."""
        strength = "" if self.plan.strength == USUAL.strength else f"@{self.plan.strength:g}"
        return strength + ("" if self.plan.base.resolve() == BASE.resolve() else f"+{self.plan.base.name}")

    @property
    def name(self) -> str:
        """The arm, as tables have it."""
        return self.arm + self.marks

    @property
    def base(self) -> str:
        """The model that it starts from, and where the border is not as reliable as usual, how reliable it is.

        Examinations of a base in worlds of different cues are different measurements, which a table must not average.
        """
        strength = "" if self.plan.strength == USUAL.strength else f"@{self.plan.strength:g}"
        return f"{self.plan.base.name} {weights(self.plan.base)}{strength}"

    @property
    def work(self) -> Path:
        """Where everything is that is no result."""
        return self.out / "work"

    @property
    def world(self) -> Path:
        """The rendered world."""
        return self.work / f"world-s{self.seed}@{self.plan.strength:g}"

    @property
    def folder(self) -> Path:
        """Where its training, its records and its log are."""
        which = f"-{weights(self.plan.base)}" if self.arm == UNTRAINED else ""
        return self.work / f"{self.name}{which}-s{self.seed}"

    @property
    def result(self) -> Path:
        """The file that is there when it is done."""
        return self.folder / "levels.json" if self.arm == UNTRAINED else self.out / f"{self.name}-s{self.seed}.json"

    @property
    def shared(self) -> "Job":
        """The examination of the base that it needs."""
        return replace(self, arm=UNTRAINED)

    @property
    def command(self) -> str:
        """Return what runs this one alone."""
        asked = f"--arms {self.arm} --seeds {self.seed} --steps {self.plan.steps} --strengths {self.plan.strength:g}"
        base = "" if self.plan.base.resolve() == BASE.resolve() else f" --base {told(self.plan.base)}"
        return f"python -m benchmark rl {told(self.out)} {asked}{base}"

    @property
    def done(self) -> bool:
        """Return whether its result is there. Raises ValueError where that is another run's by the same name."""
        if self.arm == UNTRAINED or not self.result.exists():
            return self.result.exists()
        found, wanted = parsed(self.result), (self.plan.steps, self.base)
        if (found.steps, found.base) != wanted:
            raise ValueError(
                f"{self.result}: expected {wanted[0]} steps from {wanted[1]}, found {found.steps} from {found.base}; "
                "give another folder, or move the file away"
            )
        return True

    def as_json(self) -> str:
        """For the process that does it."""
        return json.dumps(asdict(self), indent=1, default=str) + "\n"


def job_of(text: str) -> Job:
    """Return a job from JSON."""
    found = json.loads(text)
    return Job(found["arm"], found["seed"], plan_of(found["plan"]), Path(found["out"]))


def plan_of(found: Mapping[str, Any]) -> QuickstartPlan:
    """Return a plan from plain data."""
    return QuickstartPlan(**(dict(found) | {"base": Path(found["base"]), "sizes": Sizes(**found["sizes"])}))


@cache
def weights(base: Path) -> str:
    """Return names the weights of a base, whatever its directory is called."""
    return replace(USUAL, base=base).facts["base"][:8]
