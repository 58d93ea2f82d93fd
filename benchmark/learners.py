"""Trained learners of restricted input: what can be learned from oracle demonstrations without the whole of an item.

    OUT/INPUT-sSEED.json   one learner: its curve, its accuracy with intervals over octets, its ceiling
    OUT/table.md           all of them
    OUT/curves.png         their accuracy while they learned

Each starts from the base model and is taught whole oracle reasonings by the base model's own loop (tools/base); the border
is grey. What it is taught with and what it is asked with lack the same. Answers are generated greedily by mmrl's own
engine on fresh octets of L1. All inputs are taught the same items in the same order.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmark.asking import Question, ask, questions
from benchmark.gallery import gallery
from benchmark.inputs import INPUTS
from benchmark.measure import Scores, figure
from benchmark.paths import told
from benchmark.rl_job import weights
from benchmark.tables import record, write
from mmrl.examine import evaluating
from mmrl.models.policy import Policy, check_directory, load_policy
from mmrl.rewards.parse import parse
from mmrl.types import Decoding
from mmrl.world.base import BASE
from mmrl.world.dice import Dice
from mmrl.world.octet import draw_octets
from mmrl.world.script import FAMILIES
from tools.base.__main__ import School
from tools.base.clips import Shelf
from tools.base.lessons import Faults, Lesson, Writer
from tools.base.train import Learner, Stage, teach

FAR = 2_000_000  # from the seeds of benchmarks and of the base model: none draws these octets
SOLVED = 0.9  # accuracy that full input must exceed for the number of steps to mean something
CLEAN = Faults()


@dataclass(frozen=True, slots=True)
class Course:
    """How much of everything."""

    base: Path = BASE
    steps: int = 400
    octets: int = 600  # to learn from: eight items each, their options in any order
    tested: int = 48  # octets that are asked at every look
    every: int = 40  # steps between looks
    lessons: int = 64  # a step
    rate: float = 1e-3  # reached after 100 steps, falling from the middle of the course to a twentieth
    new_tokens: int = 80

    def __post_init__(self) -> None:
        for name in ("steps", "octets", "tested", "every", "lessons"):
            if getattr(self, name) < 1:
                raise ValueError(f"learners: expected 1 or more {name}, found {getattr(self, name)}")

    @property
    def facts(self) -> dict[str, Any]:
        """What must be the same of learners that are compared."""
        numbers = ("steps", "octets", "tested", "every", "lessons", "rate")
        return {"base": f"{self.base.name} {weights(self.base)}"} | {name: getattr(self, name) for name in numbers}

    @property
    def greedy(self) -> Decoding:
        """The most likely token, always."""
        return Decoding(temperature=0.0, max_new_tokens=self.new_tokens)


@dataclass(frozen=True, slots=True)
class Shelves:
    """What is learned from, and what is asked, both whole."""

    seed: int
    taught: Shelf
    asked: Shelf
    questions: Sequence[Question]


def run(out: Path, inputs: Sequence[str], seeds: Sequence[int], course: Course, tell: Callable[[str], None]) -> None:
    """Teach every learner whose file is not there yet; then the table and the picture of all that are."""
    check(inputs, course)
    for seed in seeds:
        left = [name for name in inputs if not done(path_of(out, name, seed), course)]
        if left:
            shelves = make_shelves(course, seed)
            for name in left:
                tell(f"{name}, seed {seed}")
                write(path_of(out, name, seed), report(out, name, course, shelves, tell))


def check(inputs: Sequence[str], course: Course) -> None:
    """Raises ValueError for what cannot be run, before anything is."""
    unknown = [name for name in inputs if name not in INPUTS]
    if unknown:
        raise ValueError(f"--inputs: expected some of {', '.join(INPUTS)}; found {', '.join(unknown)}")
    check_directory(course.base)


def path_of(out: Path, name: str, seed: int) -> Path:
    """A learner's file."""
    return out / f"{name}-s{seed}.json"


def done(path: Path, course: Course) -> bool:
    """Whether a learner's file is there. Raises ValueError where it is of another course."""
    if not path.exists():
        return False
    found = json.loads(path.read_text())["course"]
    if found != course.facts:
        raise ValueError(f"{path}: expected a learner of {course.facts}, found {found}; give another folder")
    return True


def make_shelves(course: Course, seed: int) -> Shelves:
    """Octets that neither the base model nor a benchmark has seen, rendered, encoded and decoded."""
    drawn, taken = FAR + seed, set()
    asked = list(draw_octets("L1", course.tested, seed=drawn, taken=taken))
    taught = list(draw_octets("train", course.octets, seed=drawn, taken=taken))
    first, second = (gallery(octets, drawn, os.cpu_count() or 1) for octets in (taught, asked))
    return Shelves(seed, first, second, questions(asked, second, drawn))


def report(out: Path, name: str, course: Course, shelves: Shelves, tell: Callable[[str], None]) -> dict[str, Any]:
    """A learner's file: how it learned, and what it reached."""
    began = perf_counter()
    curve, last = learned(name, course, shelves, tell)
    asked = f"--inputs {name} --steps {course.steps} --octets {course.octets} --seeds {shelves.seed}"
    base = "" if course.base.resolve() == BASE.resolve() else f" --base {told(course.base)}"
    return record(
        f"learners {told(out)} {asked}{base}",
        input=name,
        seed=shelves.seed,
        course=course.facts,
        decoding="greedy",
        curve=curve,
        exceeds_90_at=next((point["step"] for point in curve if point["accuracy"] > SOLVED), None),
        final=reached(last),
        ceiling={"all": INPUTS[name].ceiling, "ordered": INPUTS[name].ordered, "unordered": INPUTS[name].unordered},
        seconds=round(perf_counter() - began, 1),
    )


def learned(
    name: str, course: Course, shelves: Shelves, tell: Callable[[str], None]
) -> tuple[list[dict[str, Any]], Scores]:
    """A learner's curve, and its scores in the end."""
    see, seed = INPUTS[name].see, shelves.seed
    policy = load_policy(course.base, "toy")
    school = School(Writer(policy.tokenizer), Dice(seed, "learner"), see(shelves.taught, seed))
    watch = Watch(policy, see(shelves.asked, seed), shelves.questions, course, tell)

    def batches(step: int) -> Mapping[str, Sequence[Lesson]]:
        if step % course.every == 0:
            watch.look(step)
        return {"whole": [school.whole(CLEAN) for _ in range(course.lessons)]}

    stage = Stage(name, course.steps, course.rate, batches, decay_from=0.5)
    teach(Learner(policy.model, school.shelf), stage, tell)
    return watch.curve, watch.look(course.steps)


@dataclass
class Watch:
    """Asks a learner while it learns."""

    policy: Policy
    shelf: Shelf
    questions: Sequence[Question]
    course: Course
    tell: Callable[[str], None]
    curve: list[dict[str, Any]] = field(default_factory=list)

    def look(self, step: int) -> Scores:
        """Whether each question is answered right now; one more point of the curve."""
        with evaluating(self.policy.model):
            texts = ask(self.policy, self.shelf, self.questions, self.course.greedy, seed=0)
        right = [parse(text).answer == one.example.answer for text, one in zip(texts, self.questions, strict=True)]
        scores = Scores.of(self.questions, right)
        families = {family: some.mean for family, some in scores.by(lambda row: row["family"]).items()}
        self.curve.append({"step": step, "accuracy": scores.mean, "families": families})
        self.tell(f"after {step} steps: accuracy {100 * scores.mean:.1f} %")
        return scores


def reached(scores: Scores) -> dict[str, Any]:
    """Accuracy in the end: of all, by family, and by whether order matters there; intervals over octets."""
    kinds = scores.by(lambda row: "ordered" if FAMILIES[row["family"]].ordered else "unordered")
    families = scores.by(lambda row: row["family"])
    return {
        "accuracy": figure(scores),
        **{kind: figure(some) for kind, some in kinds.items()},
        "families": {family: figure(some) for family, some in families.items()},
    }
