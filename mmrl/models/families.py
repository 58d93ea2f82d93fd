"""Supported families of models: where the parts of each are, and how its positions run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Family:
    """Describes a model family of transformers."""

    name: str  # the config's model_type
    tokens_per_second: bool  # True: temporal positions run with the clock; False: one a temporal patch
    tower: str = "model.visual."  # parameter name prefixes
    projector: tuple[str, ...] = ("model.visual.merger.",)
    timestamps: bool = False  # True: each frame of a video stands by itself, after its time in words


FAMILIES: dict[str, Family] = {
    "qwen2_vl": Family("qwen2_vl", tokens_per_second=False),
    "qwen2_5_vl": Family("qwen2_5_vl", tokens_per_second=True),
    "qwen3_vl": Family(
        "qwen3_vl",
        tokens_per_second=False,
        projector=("model.visual.merger.", "model.visual.deepstack_merger_list."),
        timestamps=True,
    ),
    # Qwen3-VL's tower without deep levels, its prompts and positions; most layers keep a recurrent state (gated delta
    # rule, 2412.06464) in place of keys and values, so that prompts are not shared: why_not in shared.py
    "qwen3_5": Family("qwen3_5", tokens_per_second=False, timestamps=True),
}


@dataclass(frozen=True, slots=True)
class Grid:
    """Gives the shape of one video or image in patches, before spatial merging."""

    kind: str  # "video" or "image"
    frames: int  # temporal patches
    height: int
    width: int
    seconds: float = 0.0  # between temporal patches; 0 for an image
    times: tuple[float, ...] = ()  # of a video's temporal patches, in seconds: the mean of its first and last frame's

    @property
    def frame(self) -> "Grid":
        """One temporal patch by itself."""
        return replace(self, frames=1, times=())

    def tokens(self, merge: int) -> int:
        """Counts the placeholder tokens that it takes."""
        return self.frames * (self.height // merge) * (self.width // merge)


def register_family(family: Family) -> Family:
    """Add a family of a user's own, before a model of it is loaded, and return it.

    Raises ValueError for a name that is taken, and for a description that no parameters can match.
    """
    if family.name in FAMILIES:
        raise ValueError(f"family {family.name!r}: expected a name of its own, found one of {sorted(FAMILIES)}")
    if not family.name:
        raise ValueError("family.name: expected the model_type of the model's config, found ''")
    prefixes = {"tower": (family.tower,), "projector": family.projector}
    for key, given in prefixes.items():
        if isinstance(given, str) or not given or not all(prefix.endswith(".") for prefix in given):
            raise ValueError(f"family.{key}: expected prefixes of parameters that end with '.', found {given!r}")
    if outside := [prefix for prefix in family.projector if not prefix.startswith(family.tower)]:
        raise ValueError(f"family.projector: expected parts of the tower {family.tower!r}, found {outside}")
    FAMILIES[family.name] = family
    return family


def family_of(model_type: str) -> Family:
    """Finds a family. Raises ValueError, which lists all families, for another type."""
    if model_type not in FAMILIES:
        raise ValueError(
            f"model: expected one of the families {sorted(FAMILIES)}, or yours by register_family, found {model_type!r}"
        )
    return FAMILIES[model_type]


def positions(
    length: int, spans: Sequence[tuple[int, Grid]], merge: int, tokens_per_second: float | None
) -> Int[Tensor, "3 p"]:
    """Computes M-RoPE positions (temporal, height, width) of a prompt of ``length`` tokens.

    ``spans`` holds where each block of placeholders starts, and its grid. Text counts one by one in all three axes. Inside a
    video the temporal axis advances by int(i x seconds x tokens_per_second) for the i-th temporal patch (Qwen2.5-VL), or by i
    (Qwen2-VL, and any image). Text resumes after the *largest* position of the block, as in the model authors' code (Bai et al.
    2025, 2502.13923; Qwen2.5-VL's release). transformers 5.x resumes after max(height, width) instead and so puts the
    text inside a long video (huggingface/transformers#45381, #41152); that is why positions are computed here and passed in.
    Qwen3-VL and Qwen3.5 show a video frame by frame with words in between, so that every frame is a block of its own (Qwen3-VL technical
    report, 2511.21631, and transformers' get_rope_index); there all conventions agree.
    """
    parts, cursor, place = [], 0, 0
    for start, grid in spans:
        parts.append(text_positions(start - place, cursor))
        cursor += start - place
        block = vision_positions(grid, merge, tokens_per_second) + cursor
        parts.append(block)
        cursor, place = int(block.max()) + 1, start + block.shape[1]
    parts.append(text_positions(length - place, cursor))
    return torch.cat(parts, dim=1)


def text_positions(length: int, start: int) -> Int[Tensor, "3 p"]:
    """Counts start, start + 1, ... on all three axes."""
    return torch.arange(start, start + length).expand(3, length)


def vision_positions(grid: Grid, merge: int, tokens_per_second: float | None) -> Int[Tensor, "3 p"]:
    """Computes positions inside a block, from 0, in the order of its tokens."""
    step = 1.0 if tokens_per_second is None or grid.kind == "image" else grid.seconds * tokens_per_second
    time = (torch.arange(grid.frames, dtype=torch.float64) * step).long()
    height, width = torch.arange(grid.height // merge), torch.arange(grid.width // merge)
    return torch.stack(torch.meshgrid(time, height, width, indexing="ij")).flatten(1)
