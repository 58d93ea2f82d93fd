"""One point of the measurement: which model, which prompt, how much is sampled, what is trained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any, Literal, get_args

Tower = Literal["trained", "frozen"]


@dataclass(frozen=True, slots=True)
class View:
    """Describes the video of a prompt. Two frames are one temporal patch, and 28 x 28 pixels of that are one token."""

    frames: int
    height: int
    width: int

    @property
    def tokens(self) -> int:
        """Counts the video tokens in the prompt."""
        return self.frames // 2 * (self.height // 28) * (self.width // 28)

    @property
    def patches(self) -> int:
        """Counts the patches that enter the tower."""
        return 4 * self.tokens


VIEWS: Mapping[int, View] = {  # by the length of the prompt, about
    350: View(16, 168, 168),
    1100: View(16, 224, 448),
    2100: View(32, 224, 448),  # the frames of 1,100 doubled
    4200: View(16, 448, 896),
}
WORDS = "what happened, and what should be done next? "  # one token a letter
TEXT = 48  # tokens of text in a prompt, about


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a Qwen2.5-VL."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vision_hidden: int
    vision_layers: int
    vision_heads: int
    vision_intermediate: int
    full_attention: tuple[int, ...]  # vision blocks that attend to whole frames
    sections: tuple[int, int, int]  # of M-RoPE: pairs of channels for time, height, width
    tied: bool
    theta: float = 1e6
    vocabulary: int | None = None  # None: the case's


SHAPES: Mapping[str, Shape] = {
    "6m": Shape(256, 6, 4, 2, 768, 128, 4, 4, 256, (3,), (8, 12, 12), True, 1e3),
    "3b": Shape(2048, 36, 16, 2, 11008, 1280, 32, 16, 3420, (7, 15, 23, 31), (16, 24, 24), True, 1e6, 151936),
    "7b": Shape(3584, 28, 28, 4, 18944, 1280, 32, 16, 3420, (7, 15, 23, 31), (16, 24, 24), False, 1e6, 152064),
}
WINDOW = 112  # pixels of a side, within which the other vision blocks attend


@dataclass(frozen=True, slots=True)
class Case:
    """A point; figures are compared within one only."""

    prompt: int = 1100
    group: int = 8
    new_tokens: int = 64
    vocabulary: int = 320
    tower: Tower = "trained"
    checkpointing: bool = False
    model: str = "6m"
    beta: float = field(default=0.04)  # above 0 a frozen reference reads every completion

    def __post_init__(self) -> None:
        for name, known in (("prompt", VIEWS), ("model", SHAPES), ("tower", get_args(Tower))):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"speed: {name}: expected one of {', '.join(map(str, known))}, found {getattr(self, name)}"
                )
        if self.group < 2 or self.new_tokens < 1:
            raise ValueError(f"speed: expected a group of 2 or more and 1 new token or more, found {self}")
        if self.vocabulary < 300:
            raise ValueError(f"speed: vocabulary: expected 300 or more (bytes and signs), found {self.vocabulary}")

    @property
    def view(self) -> View:
        return VIEWS[self.prompt]

    @property
    def shape(self) -> Shape:
        return SHAPES[self.model]

    @property
    def words(self) -> int:
        """Entries of the vocabulary."""
        return self.shape.vocabulary or self.vocabulary

    @property
    def compute(self) -> str:
        """The arithmetic: masters are float32 always."""
        return "float32" if self.model == "6m" else "bfloat16"

    @property
    def name(self) -> str:
        """Names the point's file."""
        marks = "_checkpointing" * self.checkpointing + "_no_reference" * (self.beta == 0)
        return f"{self.model}_p{self.prompt}_g{self.group}_t{self.new_tokens}_v{self.words}_{self.tower}{marks}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def cases(
    prompts: Sequence[int],
    groups: Sequence[int],
    new_tokens: Sequence[int],
    vocabularies: Sequence[int],
    towers: Sequence[Tower],
    checkpointing: Sequence[bool],
) -> Iterator[Case]:
    """Every combination of the small model, the central ones first."""
    found = [Case(*one) for one in product(prompts, groups, new_tokens, vocabularies, towers, checkpointing)]
    yield from sorted(found, key=lambda case: distance(case))


def distance(case: Case) -> tuple[int, int]:
    """Counts the ways in which a case differs from the central one, and how much there is to do."""
    centre = Case()
    names = ("prompt", "group", "new_tokens", "vocabulary")
    return sum(getattr(case, n) != getattr(centre, n) for n in names), case.prompt * case.group


PUBLISHED = (  # the central point, what differs from it in one thing, and corners; cheap ones first
    Case(),
    Case(checkpointing=True),
    Case(tower="frozen"),
    Case(prompt=350),
    Case(group=4),
    Case(group=16),
    Case(new_tokens=256),
    Case(vocabulary=32000),
    Case(prompt=2100),
    Case(prompt=350, group=16, new_tokens=256),
    Case(group=16, new_tokens=256, vocabulary=32000),
    Case(prompt=4200, group=4),
    Case(prompt=4200, group=4, new_tokens=256),
    Case(prompt=4200),
    Case(prompt=4200, group=16),
)

GPU_CASES = (  # 16 frames, P about 4,200, G 8; on one card
    Case(4200, 8, 256, model="3b", checkpointing=True),
    Case(4200, 8, 256, model="7b", checkpointing=True, beta=0.0),  # 16 bytes a weight leave no room for a reference
)
