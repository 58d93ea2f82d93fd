"""The contents of a benchmark, as symbols: sizes, looks and the items of every annotation file.

    training         octets to train on           training_sft            octets that demonstrations are made of
    validation       the same, for looking on     validation_L1, _L2, _L3 the three levels
    validation_L1_neutral     where L1 has a cue: the same items without it
    validation_L2_none, _<axis>  the first L2 octets in a training environment, and with one axis of the test pool
    training_with_cot    demonstrations: chats whose reasoning is the oracle's, made of the octets of training_sft
    *_nat            the natural stratum of a split, which is reported apart

All of it follows from a Recipe, on any machine. More octets of one split change no item of a split that is drawn before
it (validation first), and the first items of a split do not depend on how many follow.
"""

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import islice

from mmrl.world.annotate import MEMBERS, Presentation, WorldItem, nat_item, octet_items
from mmrl.world.axes import AXES, Environment, draw_environment, known
from mmrl.world.cues import NEUTRAL, Cue, Cues, Planted
from mmrl.world.demos import Demonstrations
from mmrl.world.dice import Dice
from mmrl.world.nat import Nat, draw_nats
from mmrl.world.octet import LETTERS, Octet, draw_octets
from mmrl.world.render import SMALL, Dial
from mmrl.world.script import FAMILIES

GENERATOR = "procbench-1"  # a change of any script, pixel or sentence asks for a new one
BEYOND = ("L2", "L3")  # levels whose environments come from the test pool
FILES = {  # in the order in which they are drawn
    "L1": "validation_L1",
    "L2": "validation_L2",
    "L3": "validation_L3",
    "val": "validation",
    "sft": "training_sft",
    "train": "training",
}
NONE = "none"  # the paired copy of L2 in which no axis is switched
Group = tuple[WorldItem, ...]  # the eight items of an octet in one look, or one natural item


@dataclass(frozen=True, slots=True)
class Sizes:
    """Octets of each split (8 items, 4 clips and 2 observations each) and items of the natural stratum.

    Raises ValueError for a size below 0 and for more paired octets than there are in L2.
    """

    train: int = 0
    sft: int = 0
    val: int = 0
    L1: int = 0
    L2: int = 0
    L3: int = 0
    paired: int = 0  # octets of L2 that are shown again, once in a training environment and once an axis
    nat_train: int = 0  # multiples of 4 are balanced over the four types of distractors, and over the letters
    nat_val: int = 0
    nat_L1: int = 0
    nat_L2: int = 0
    nat_L3: int = 0

    def __post_init__(self) -> None:
        for size in fields(self):
            if getattr(self, size.name) < 0:
                raise ValueError(f"sizes.{size.name}: expected 0 or more, found {getattr(self, size.name)}")
        if self.paired > self.L2:
            raise ValueError(f"sizes.paired: expected at most the {self.L2} octets of L2, found {self.paired}")

    def resized(self, train: int | None = None, level: int | None = None, nat: int | None = None) -> "Sizes":
        """Return sizes with other numbers of octets to train on and on each level, and of natural items on each level.

        Of the latter there are five times as many to train on and a fifth to look on, as in the released benchmark.
        """
        changed = {} if train is None else {"train": train}
        if level is not None:
            changed |= dict.fromkeys(("L1", "L2", "L3"), level) | {"paired": min(self.paired, level)}
        if nat is not None:
            changed |= dict.fromkeys(("nat_L1", "nat_L2", "nat_L3"), nat) | {"nat_train": 5 * nat, "nat_val": nat // 5}
        return replace(self, **changed)


FULL = Sizes(
    train=750, sft=250, val=30, L1=150, L2=150, L3=150, paired=19,
    nat_train=2000, nat_val=80, nat_L1=400, nat_L2=400, nat_L3=400,
)  # fmt: skip
SMOKE = Sizes(train=1, sft=1, val=1, L1=1, L2=1, L3=1, nat_train=4, nat_L1=4, nat_L2=4, nat_L3=4)
COMPACT = Sizes(train=240, L1=24, L2=24, L3=24)
PRESETS: Mapping[str, tuple[Sizes, Dial]] = {
    "full": (FULL, Dial()),  # the released benchmark
    "smoke": (SMOKE, Dial()),  # a little of everything, in seconds
    "small": (COMPACT, SMALL),  # what a small model can learn from in minutes
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a benchmark depends on. Raises ValueError for what cannot be rendered, before anything is."""

    sizes: Sizes
    seed: int
    dial: Dial = field(default_factory=Dial)
    cues: Cues = field(default_factory=Cues)
    axes: tuple[str, ...] = AXES  # that L2 and L3 take from the test pool
    families: tuple[str, ...] = tuple(FAMILIES)
    demonstrations: Demonstrations | None = None  # how training_with_cot.jsonl is made; None makes none

    def __post_init__(self) -> None:
        known("axes", self.axes, AXES)
        known("families", self.families, FAMILIES)
        for split in FILES:
            if getattr(self.sizes, split) and not self.families_of(split):
                kind = "held-out" if split == "L3" else "trained"
                raise ValueError(f"families: expected a {kind} family for {split}, found {', '.join(self.families)}")

    def families_of(self, split: str) -> tuple[str, ...]:
        """Return the families of a split, in the order of FAMILIES."""
        return tuple(name for name in FAMILIES if name in self.families and FAMILIES[name].held_out == (split == "L3"))

    def test_axes(self, split: str) -> tuple[str, ...]:
        """Return the axes that a split takes from the test pool."""
        return tuple(axis for axis in AXES if axis in self.axes) if split in BEYOND else ()

    @property
    def groups(self) -> int:
        """Return how many groups a rendering counts: octets, once more for each copy, and natural items."""
        paired, neutral = self.sizes.paired * len(self.test_axes("L2")), self.sizes.L1 * (self.cues.L1 is not None)
        return sum(asdict(self.sizes).values()) + paired + neutral

    @property
    def key(self) -> dict:
        """Return what a manifest says about it, as JSON holds it."""
        return {
            "generator": GENERATOR,
            "seed": self.seed,
            "dial": asdict(self.dial),
            "sizes": asdict(self.sizes),
            "cues": asdict(self.cues),
            "axes": list(self.test_axes("L2")),
            "families": [*self.families_of("L1"), *self.families_of("L3")],
            "demonstrations": self.demonstrations and asdict(self.demonstrations),
        }


def annotated(recipe: Recipe) -> dict[str, list[Group]]:
    """Return the groups of every annotation file; there is none for a split without items.

    Raises ValueError where a split asks for more octets than its families can tell apart.
    """
    files: dict[str, list[Group]] = {}
    for split, octets in all_octets(recipe).items():
        name, cue = FILES[split], getattr(recipe.cues, split)
        files[name] = [presented(recipe, octet, recipe.test_axes(split), cue) for octet in octets]
        if split == "L1" and cue is not None:
            files[f"{name}_neutral"] = [presented(recipe, octet, ()) for octet in octets]
        if split == "L2" and recipe.sizes.paired:
            for axis in (NONE, *recipe.test_axes("L2")):
                files[f"{name}_{axis}"] = [
                    presented(recipe, octet, () if axis == NONE else (axis,), variant=axis)
                    for octet in octets[: recipe.sizes.paired]
                ]
    for split, nats in all_nats(recipe).items():
        test = recipe.test_axes(split)
        files[f"{FILES[split]}_nat"] = [
            (nat_item(nat, Presentation(environment_of(recipe.seed, nat.group, test), test), recipe.dial),)
            for nat in nats
        ]
    return files


def all_octets(recipe: Recipe) -> dict[str, list[Octet]]:
    """Return the octets of all splits, no two of the same videos and goal."""
    taken: set[Hashable] = set()
    drawn = {}
    for split in FILES:
        wanted, families = getattr(recipe.sizes, split), recipe.families_of(split)
        turns = sum(family.held_out == (split == "L3") for family in FAMILIES.values())  # families take turns
        tried = wanted if len(families) == turns else wanted * turns
        several = draw_octets(split, tried, seed=recipe.seed, taken=taken)
        drawn[split] = list(islice((octet for octet in several if octet.family in families), wanted))
    return {split: octets for split, octets in drawn.items() if octets}


def all_nats(recipe: Recipe) -> dict[str, list[Nat]]:
    """Return the natural items of all splits that have some, no two of the same video and goal."""
    taken: set[Hashable] = set()
    sizes = {split: getattr(recipe.sizes, f"nat_{split}") for split in FILES if split != "sft"}
    return {split: list(draw_nats(split, size, seed=recipe.seed, taken=taken)) for split, size in sizes.items() if size}


def environment_of(seed: int, group: str, test: Collection[str]) -> Environment:
    """Return what a group looks like in the benchmark of a seed; ``test`` names the axes of the test pool."""
    return draw_environment(Dice(seed, "environment", group), test)


def presented(
    recipe: Recipe, octet: Octet, test: Sequence[str], cue: Cue | None = None, variant: str = ""
) -> tuple[WorldItem, ...]:
    """Return the items of an octet in an environment, each with its cue."""
    environment = environment_of(recipe.seed, octet.group, test)
    looks = []
    for planted in planted_in(octet, cue, recipe.seed):
        dice = Dice(recipe.seed, "surroundings", octet.group, planted.points_to)
        around = planted.surroundings(environment, "palette" in test, dice)
        looks.append(Presentation(around, tuple(test), planted, variant))
    return tuple(octet_items(octet, looks, recipe.dial))


def planted_in(octet: Octet, cue: Cue | None, seed: int) -> Iterator[Planted]:
    """Yield the cues of an octet's eight items."""
    for index, (bits, lamp) in enumerate(MEMBERS):
        if cue is None:
            yield NEUTRAL
            continue
        gold = LETTERS[octet.options.index(octet.action(bits, lamp))]
        yield Planted(cue.kind, cue.strength, cue.points_to(gold, Dice(seed, "cue", octet.group, index)))
