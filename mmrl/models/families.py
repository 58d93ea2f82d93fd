"""Supported model families: the parameter names of their parts, and their M-RoPE positions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Family:
    """A model family of transformers, with what mmrl must know to train it."""

    name: str  # the config's model_type
    tokens_per_second: bool  # True: temporal positions follow the video's time; False: they count temporal patches
    tower: str = "model.visual."  # the prefix of the tower's parameter names
    projector: tuple[str, ...] = ("model.visual.merger.",)
    timestamps: bool = False  # True: each frame of a video is a block of its own, after its time in words


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
    # rule, 2412.06464) instead of keys and values, so that prompts are not shared: reason_not_shared in attention/shared.py
    "qwen3_5": Family("qwen3_5", tokens_per_second=False, timestamps=True),
}


@dataclass(frozen=True, slots=True)
class Grid:
    """The shape of one video or image in patches, before spatial merging."""

    kind: str  # "video" or "image"
    frames: int  # temporal patches
    height: int
    width: int
    seconds: float = 0.0  # between temporal patches; 0 for an image
    times: tuple[
        float, ...
    ] = ()  # seconds of a video's temporal patches: the mean time of a patch's first and last frame

    @property
    def frame(self) -> "Grid":
        """The grid of a single temporal patch."""
        return replace(self, frames=1, times=())

    def tokens(self, merge: int) -> int:
        """Return the number of placeholder tokens; ``merge`` is the tower's spatial merge size."""
        return self.frames * (self.height // merge) * (self.width // merge)


def register_family(family: Family) -> Family:
    """Add your own family before you load a model of it; return the family.

    Raises ValueError if the name exists already, or if no parameters can match the prefixes.
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
    """Return the family of a config's model_type. Raises ValueError, with a list of all families, for an unknown type."""
    if model_type not in FAMILIES:
        raise ValueError(
            f"model: expected one of the families {sorted(FAMILIES)}, or yours by register_family, found {model_type!r}"
        )
    return FAMILIES[model_type]


def positions(
    length: int, spans: Sequence[tuple[int, Grid]], merge: int, tokens_per_second: float | None
) -> Int[Tensor, "3 p"]:
    """Compute the M-RoPE positions (temporal, height, width) of a prompt of ``length`` tokens.

    ``spans`` holds the first index and the grid of each block of placeholders. Text counts one by one on all three axes. Inside
    a video the temporal position of the i-th temporal patch is int(i x seconds x tokens_per_second) (Qwen2.5-VL), or i
    (Qwen2-VL, and any image). Text resumes after the *largest* position of the block, as in the model authors' code (Bai et al.
    2025, 2502.13923; Qwen2.5-VL's release). transformers 5.x resumes after max(height, width), which puts the text inside a
    long video (huggingface/transformers#45381, #41152); therefore positions are computed here and passed to the model.
    Qwen3-VL and Qwen3.5 put words between the frames of a video, so that each frame is a block of its own (Qwen3-VL technical
    report, 2511.21631, and transformers' get_rope_index); for them all conventions agree.
    """
    parts, cursor, index = [], 0, 0
    for start, grid in spans:
        parts.append(text_positions(start - index, cursor))
        cursor += start - index
        block = vision_positions(grid, merge, tokens_per_second) + cursor
        parts.append(block)
        cursor, index = int(block.max()) + 1, start + block.shape[1]
    parts.append(text_positions(length - index, cursor))
    return torch.cat(parts, dim=1)


def text_positions(length: int, start: int) -> Int[Tensor, "3 p"]:
    """Return start, start + 1, ... on all three axes."""
    return torch.arange(start, start + length).expand(3, length)


def vision_positions(grid: Grid, merge: int, tokens_per_second: float | None) -> Int[Tensor, "3 p"]:
    """Compute the positions inside a block, from 0, in the order of its tokens."""
    step = 1.0 if tokens_per_second is None or grid.kind == "image" else grid.seconds * tokens_per_second
    time = (torch.arange(grid.frames, dtype=torch.float64) * step).long()
    height, width = torch.arange(grid.height // merge), torch.arange(grid.width // merge)
    return torch.stack(torch.meshgrid(time, height, width, indexing="ij")).flatten(1)
