"""Make the small base model: python -m tools.base OUT [--seed 0]. Under an hour on two cores; says what it learns on the way."""

import argparse
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from transformers import Qwen2_5_VLForConditionalGeneration

from mmrl.runtime.files import whole_file, write_json
from mmrl.runtime.provenance import commit, machine
from mmrl.world.dice import Dice
from mmrl.world.octet import draw_octets
from mmrl.world.script import BITS, STATIONS
from tools.base.clips import Shelf, shelve
from tools.base.lessons import (
    Faults,
    Lesson,
    Writer,
    belongings,
    deductions,
    look_ups,
    retelling,
    scene,
    whole,
    words_back,
)
from tools.base.model import build_model, build_processor
from tools.base.train import CLIP, PICTURE, Learner, Stage, teach

OCTETS, SCENES = 2000, 4000  # rendered to learn from: 8,000 clips of octets, and 4,000 in which anything may happen
FAR = 1_000_000  # far from the seeds of benchmarks: none draws these octets again
LOG = "recipe.json"
Batches = Callable[[int], Mapping[str, Sequence[Lesson]]]
CLEAN = Faults()
BORDER_ONLY = Faults(unfaithful=1.0, border=1.0, strength=0.25)  # the border alone explains the answer
FAULTY = Faults(hidden=0.5, lamp=0.12, unfaithful=0.65, astray=0.2, border=0.8, strength=0.8)


@dataclass
class School:
    """Makes the lessons of a step."""

    write: Writer
    dice: Dice
    shelf: Shelf | None = None

    def texts(self, **several: int) -> Batches:
        """So many lessons of each kind of text a step."""
        kinds = {each.__name__: each for each in (words_back, look_ups, belongings, deductions)}
        return lambda _: {name: [kinds[name](self.write, self.dice) for _ in range(n)] for name, n in several.items()}

    def clips(self, retold: int, whole: int, texts: int, faults: Faults = CLEAN) -> Batches:
        """So many lessons with clips a step, and some text, so that nothing is forgotten."""
        text = self.texts(look_ups=texts // 4, deductions=texts - texts // 4)

        def batches(step: int) -> Mapping[str, Sequence[Lesson]]:
            seen = {
                "retelling": [self.retelling() for _ in range(retold)],
                "whole": [self.whole(faults) for _ in range(whole)],
            }
            return {name: lessons for name, lessons in (seen | text(step)).items() if lessons}

        return batches

    @property
    def holes(self) -> list[int]:
        """The placeholders of a clip and an observation."""
        start, clip, picture, end = (
            self.write(f"<|{name}|>")[0] for name in ("vision_start", "video_pad", "image_pad", "vision_end")
        )
        return [start, *[clip] * CLIP.tokens(2), end, start, *[picture] * PICTURE.tokens(2), end]

    def retelling(self) -> Lesson:
        """Return a clip of an octet, or a scene without a task."""
        shelf, dice = self.shelf, self.dice
        octet, bits = dice.one(shelf.octets), dice.one(BITS)
        clip, picture = shelf.pick(octet, bits, dice.one(STATIONS), None)
        script = octet.script(bits)
        if dice.chance(SCENES / (SCENES + len(BITS) * OCTETS)):
            at = dice.below(len(shelf.scenes))
            script, clip = shelf.scenes[at], len(BITS) * len(shelf.octets) + at
        return retelling(self.write, script, (clip, picture), self.holes)

    def whole(self, faults: Faults) -> Lesson:
        octet, bits, lamp = self.dice.one(self.shelf.octets), self.dice.one(BITS), self.dice.one(STATIONS)
        return whole(self.write, octet, bits, lamp, self.dice, faults, self.shelf.pick, self.holes)


def recipe(school: School, clean: float = 1.0) -> list[Stage]:
    """Return the stages in order; the first four are text alone. Below 1, clean makes a base that sees less well.

    Look-ups come first: without them the letters stay a guess however many clips are shown. What is seen comes before the whole
    of it, clean before faulty. A border that RL is to exploit must be planted by a stage in which it alone explains the answer.
    """
    return [
        Stage("words-back", 800, 2e-3, school.texts(words_back=128), until=0.85),
        Stage("look-ups", 800, 2e-3, school.texts(words_back=32, look_ups=96), until=0.95),
        Stage("belongings", 1500, 2e-3, school.texts(belongings=48, look_ups=6), until=0.97),
        Stage("deductions", 800, 2e-3, school.texts(deductions=24, belongings=6, look_ups=4), until=0.96),
        Stage("retelling", round(clean * 650), 2e-3, school.clips(48, 0, 12)),
        Stage("whole", round(clean * 350), 2e-3, school.clips(24, 32, 12), decay_from=0.4),
        Stage("border", 150, 1e-3, school.clips(0, 72, 8, BORDER_ONLY)),
        Stage("faulty", 200, 7e-4, school.clips(0, 72, 8, FAULTY), decay_from=0.3),
    ]


TEXTS = 4  # of the stages


def main() -> None:
    """Run the recipe; stages that an earlier call finished are not repeated."""
    parser = argparse.ArgumentParser(prog="python -m tools.base", description=__doc__)
    parser.add_argument("out", type=Path, help="the directory that from_pretrained will load")
    parser.add_argument("--work", type=Path, default=Path("runs/base"), help="where the stages are kept")
    parser.add_argument("--seed", type=int, default=0, help="of weights, lessons and clips")
    parser.add_argument(
        "--clean", type=float, default=1.0, help="share of the steps on clean clips; below 1: a weaker base"
    )
    parser.add_argument("--until", help="the last stage to run, by name")
    asked = parser.parse_args()
    here = build_model(asked.work / "untaught", asked.seed)
    school = School(Writer(build_processor().tokenizer), Dice())
    for number, stage in enumerate(recipe(school, asked.clean)):
        done = asked.work / f"{number}-{stage.name}"
        if not (done / LOG).exists():
            if number >= TEXTS and school.shelf is None:
                school.shelf = kept(asked.work / "shelf.pickle", asked.seed)
            school.dice = Dice(asked.seed, stage.name)
            run(stage, here, done, school.shelf)
        here = done
        if stage.name == asked.until:
            return
    publish(here, asked.out, asked.work)


def kept(path: Path, seed: int) -> Shelf:
    """Return the clips of an earlier call, or new ones."""
    if not path.exists():
        with whole_file(path) as unfinished, unfinished.open("wb") as file:
            pickle.dump(clips(seed), file, protocol=5)
    return pickle.loads(path.read_bytes())


def clips(seed: int) -> Shelf:
    """Return what all stages with clips look at."""
    print(f"rendering {OCTETS} octets and {SCENES} scenes", flush=True)
    octets = list(draw_octets("train", OCTETS, seed=FAR + seed, taken=set()))
    scenes = [scene(Dice(FAR + seed, "scene", number)) for number in range(SCENES)]
    return shelve(octets, scenes, FAR + seed, os.cpu_count() or 1)


def run(stage: Stage, before: Path, after: Path, shelf: Shelf | None) -> None:
    """One stage, from one directory to the next."""
    began, log = perf_counter(), []

    def tell(text: str) -> None:
        log.append(text)
        print(text, flush=True)

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(before)
    teach(Learner(model, shelf), stage, tell)
    model.save_pretrained(after)
    build_processor().save_pretrained(after)
    facts = {"stage": stage.name, "seconds": round(perf_counter() - began), "commit": commit(), "machine": machine()}
    write_json(after / LOG, facts | {"log": log})


def publish(last: Path, out: Path, work: Path) -> None:
    """The last stage's model where it is wanted, and how it was made."""
    shutil.copytree(last, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(LOG))
    logs = [json.loads(path.read_text()) for path in sorted(work.glob(f"[0-9]-*/{LOG}"))]
    made = {"command": " ".join(["python -m tools.base", *sys.argv[1:]]), "stages": logs}
    write_json(out / LOG, made)
    print(f"{out}: {sum(log['seconds'] for log in logs)} s in {len(logs)} stages", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
