"""Planted shortcuts: four cues that name a letter, right as often as they are told to be.

A cue points to a letter, so it fixes the order of the options. Whatever its strength, an item's draws are the same: the
items whose cue is right at 0.5 are among those whose cue is right at 0.8. Cues are planted in octets, never in the
natural stratum.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmrl.world.axes import TEST, TRAIN, Environment
from mmrl.world.dice import Dice
from mmrl.world.octet import LETTERS, Action

KINDS = (
    "border",  # S1: the observation's border has the letter's colour
    "gripper",  # S2: the gripper has the colour that the letter's option names
    "marker",  # S3: a word follows the letter's option
    "environment",  # S4: the background has one of the letter's hues
)
MARKER = "next"  # of S3; a word of the lexicon that ends no option
CHANCE = 1 / len(LETTERS)  # the strength at which a cue says nothing


@dataclass(frozen=True, slots=True)
class Cue:
    """A kind of cue, and the probability in [0, 1] that it points to the right letter; otherwise to any wrong one.

    Raises ValueError for a kind that there is not, and for a strength that is no probability.
    """

    kind: str = "border"
    strength: float = 0.8

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"cues.kind: expected one of {', '.join(KINDS)}, found {self.kind!r}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"cues.strength: expected a probability in [0, 1], found {self.strength}")

    def points_to(self, gold: str, dice: Dice) -> str:
        """Return the letter that the cue names. Strength 0.25 is chance, 1 always right, 0 always wrong."""
        luck, wrong = dice.between(0, 1), dice.one([letter for letter in LETTERS if letter != gold])
        return gold if luck < self.strength else wrong


@dataclass(frozen=True, slots=True)
class Cues:
    """The cue of each split; None is neutral: grey border, untinted gripper, no marker, any palette."""

    train: Cue | None = None
    sft: Cue | None = None
    val: Cue | None = None
    L1: Cue | None = None
    L2: Cue | None = None
    L3: Cue | None = None

    @classmethod
    def planted(cls, kind: str = "border", strength: float = 0.8, beyond: float | None = CHANCE) -> "Cues":
        """Return a cue of some strength in train, val and L1; of strength ``beyond`` in L2 and L3, None for neutral."""
        within, after = Cue(kind, strength), None if beyond is None else Cue(kind, beyond)
        return cls(train=within, val=within, L1=within, L2=after, L3=after)


@dataclass(frozen=True, slots=True)
class Planted:
    """The cue of one item."""

    kind: str | None = None
    strength: float | None = None
    points_to: str | None = None  # a letter; None for a neutral item

    @property
    def border(self) -> str | None:
        """The letter that the observation's border codes."""
        return self.points_to if self.kind == "border" else None

    def tint(self, options: Sequence[Action]) -> str | None:
        """Return the colour of the gripper."""
        return options[LETTERS.index(self.points_to)].colour if self.kind == "gripper" else None

    def texts(self, options: Sequence[Action]) -> tuple[str, ...]:
        """Return the options' texts in order, one of them marked where the cue is a marker."""
        marked = self.points_to if self.kind == "marker" else None
        pairs = zip(LETTERS, options, strict=True)
        return tuple(f"{option} {MARKER}" if letter == marked else str(option) for letter, option in pairs)

    def surroundings(self, environment: Environment, test: bool, dice: Dice) -> Environment:
        """Return the environment, its palette of the letter's quarter of the hues where the cue is the environment."""
        if self.kind != "environment":
            return environment
        pool = (TEST if test else TRAIN)["palette"]
        quarter, index = len(pool) // len(LETTERS), LETTERS.index(self.points_to)
        return replace(environment, palette=dice.one(pool[index * quarter : (index + 1) * quarter]))


NEUTRAL = Planted()
