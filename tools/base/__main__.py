"""Make the small base model: python -m tools.base OUT [--seed 0]. Under an hour on two cores; says what it learns on the way."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from mmrl.origin import commit, machine
from mmrl.world.base import build_model, build_processor
from mmrl.world.dice import Dice
from mmrl.world.octet import draw_octets
from mmrl.world.script import BITS, STATIONS
from tools.base.clips import Shelf, shelve
from tools.base.lessons import (
    Faults,
    Lesson,
    Writer,
    deductions,
    look_ups,
    recollection,
    retelling,
    whole,
    words_back,
)
from tools.base.train import CLIP, PICTURE, Learner, Stage, teach

OCTETS = 2500  # rendered to learn from: 10,000 clips
BASE_SEED = 1_000_000  # far from the seeds of benchmarks: no benchmark draws these octets again
Batches = Callable[[int], Mapping[str, Sequence[Lesson]]]
CLEAN = Faults()
BORDER_ONLY = Faults(unfaithful=1.0, border=1.0, strength=0.25)  # the border alone explains the answer
FAULTY = Faults(hidden=0.45, lamp=0.03, unfaithful=0.35, border=0.8, strength=0.8)


@dataclass
class School:
    """Makes the lessons of a step."""

    write: Writer
    dice: Dice
    shelf: Shelf | None = None

    def texts(self, **several: int) -> Batches:
        """So many lessons of each kind of text a step."""
        kinds = {each.__name__: each for each in (words_back, look_ups, deductions, recollection)}
        return lambda _: {name: [kinds[name](self.write, self.dice) for _ in range(n)] for name, n in several.items()}

    def clips(self, retold: int, whole: int, texts: int, faults: Faults = CLEAN) -> Batches:
        """So many lessons with clips a step, and some text, so that nothing is forgotten."""
        text = self.texts(look_ups=texts // 4, deductions=texts - texts // 4)

        def batches(step: int) -> Mapping[str, Sequence[Lesson]]:
            made = {"retelling": [self.retelling() for _ in range(retold)]} if retold else {}
            made["whole"] = [self.whole(faults) for _ in range(whole)]
            return made | (text(step) if texts else {})

        return batches

    @property
    def holes(self) -> list[int]:
        """The placeholders of a clip and an observation."""
        start, clip, picture, end = (
            self.write(f"<|{name}|>")[0] for name in ("vision_start", "video_pad", "image_pad", "vision_end")
        )
        return [start, *[clip] * CLIP.tokens(2), end, start, *[picture] * PICTURE.tokens(2), end]

    def retelling(self) -> Lesson:
        octet, bits = self.dice.one(self.shelf.octets), self.dice.one(BITS)
        return retelling(
            self.write, octet, bits, self.shelf.pick(octet, bits, self.dice.one(STATIONS), None), self.holes
        )

    def whole(self, faults: Faults) -> Lesson:
        octet, bits, lamp = self.dice.one(self.shelf.octets), self.dice.one(BITS), self.dice.one(STATIONS)
        return whole(self.write, octet, bits, lamp, self.dice, faults, self.shelf.pick, self.holes)


def texts(school: School) -> list[Stage]:
    """Look-ups first: without them the letters stay a guess however many clips are shown."""
    return [
        Stage("words back", 800, 2e-3, school.texts(words_back=128), until=0.85),
        Stage("look-ups", 800, 2e-3, school.texts(words_back=32, look_ups=96), until=0.95),
        Stage("deductions", 800, 2e-3, school.texts(look_ups=12, deductions=48, recollection=12), until=0.97),
    ]


def clips(school: School) -> list[Stage]:
    """What is seen, the whole of it, the border, the faults."""
    return [
        Stage("retelling", 900, 2e-3, school.clips(64, 24, 12)),
        Stage("whole", 500, 2e-3, school.clips(32, 40, 12), decay_from=0.3),
        Stage("border", 150, 1e-3, school.clips(0, 72, 8, BORDER_ONLY)),
        Stage("faulty", 200, 7e-4, school.clips(0, 72, 8, FAULTY), decay_from=0.3),
    ]


def main() -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(prog="python -m tools.base", description=__doc__)
    parser.add_argument("out", type=Path, help="the directory that from_pretrained will load")
    parser.add_argument("--seed", type=int, default=0, help="of weights, lessons and clips")
    parser.add_argument("--octets", type=int, default=OCTETS, help="octets to render; four clips each")
    asked = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    torch.manual_seed(asked.seed)
    began, log = perf_counter(), []

    def tell(text: str) -> None:
        log.append(text)
        print(text, flush=True)

    out = build_model(asked.out, asked.seed)
    model, processor = Qwen2_5_VLForConditionalGeneration.from_pretrained(out), build_processor()
    school = School(Writer(processor.tokenizer), Dice(asked.seed, "school"))
    for stage in texts(school):
        teach(Learner(model), stage, tell)
    octets = list(draw_octets("train", asked.octets, seed=BASE_SEED + asked.seed, taken=set()))
    school.shelf = shelve(octets, BASE_SEED + asked.seed, os.cpu_count() or 1)
    tell(f"{len(school.shelf.clips)} clips after {perf_counter() - began:.0f} s")
    for stage in clips(school):
        teach(Learner(model, school.shelf), stage, tell)
        model.save_pretrained(out)
    tell(f"{perf_counter() - began:.0f} s in all")
    facts = {"command": " ".join(["python -m tools.base", *sys.argv[1:]]), "commit": commit(), "machine": machine()}
    (out / "recipe.json").write_text(json.dumps(facts | {"log": log}, indent=1) + "\n")


if __name__ == "__main__":
    main()
