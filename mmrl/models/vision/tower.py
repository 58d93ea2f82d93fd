"""The vision half of a video language model: a prompt's media are seen once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmrl.models.families import Family, Grid
from mmrl.models.precision import autocast, dtype_of
from mmrl.models.vision.feature_cache import FeatureCache, Weights, name_of
from mmrl.models.vision.projector import mergers, parts, projected, unmerged
from mmrl.models.work import Work
from mmrl.runtime.memory_cache import ByteCache
from mmrl.runtime.sharding import is_cut
from mmrl.types import Prompt

TIMES = count()  # that weights were called something for a while
Keeps = Literal["features", "states", "nothing"]
STILL_BYTES = 2**30  # of features, while a tower without a cache of its own is examined


@dataclass(frozen=True, slots=True)
class Vision:
    """What the vision tower is fed for one prompt: per medium its patches and grid, in the order of the prompt."""

    pixels: tuple[Float[Tensor, "patches dim"], ...]
    grids: tuple[Grid, ...]
    seen: dict[tuple[int, str], Tensor] = field(default_factory=dict, compare=False, repr=False)
    """What towers keep of it, by medium and weights: as long as there is the prompt, none looks twice."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Prompts whose media went through the tower."""

    prompts: tuple[Prompt, ...]
    features: tuple[Float[Tensor, "v k d"], ...]  # per prompt, for each placeholder its k levels, in the prompt's order


@dataclass
class Tower:
    """The vision tower of one set of weights.

    What stays the same for a whole run is made once and kept. Where nothing of the tower trains these are its features.
    Where only the projector does, they are the states that the blocks hand to it: the blocks look once, and the projector
    runs whenever features are asked for, with a gradient where it learns. Both are made of each medium by itself: what
    is kept then does not depend on what happened to be asked for with it, so that a cache, full or empty, changes no
    bit. Where blocks train, or follow others that do, nothing is kept, save while they are ``still``: all media of a call
    are seen together, each time anew.
    """

    model: nn.Module
    family: Family
    compute: torch.dtype | None  # as in Reader
    work: Work
    told: Keeps | None = None  # what it keeps, where its gradients do not tell: that of a copy, or of what is examined
    cache: FeatureCache | None = None

    def __post_init__(self) -> None:
        self.visual = self.model.model.visual
        self.weights = Weights(self.visual, self.compute)
        self.blocks = Weights(self.visual, self.compute, without=parts(self.family))

    @property
    def keeps(self) -> Keeps:
        """What it makes of a medium that is the same for the whole run."""
        if self.told is not None:
            return self.told
        trained = self.trained
        if all(name.startswith(parts(self.family)) for name in trained):
            return "states" if trained else "features"
        return "nothing"

    @property
    def trained(self) -> list[str]:
        """The parameters of vision tower and projector that a gradient must reach, as they are called inside."""
        return [name for name, parameter in self.visual.named_parameters() if parameter.requires_grad]

    @contextmanager
    def still(self, again: bool) -> Iterator[None]:
        """Inside, weights stay as they are, so that a tower that learns keeps features, too: its own of that time.

        They are kept with the prompt that they are of; and in memory, within the bounds of its cache, where the same media
        come ``again`` in other prompts. Not on disk, where nobody would ask for them again.
        """
        if self.keeps != "nothing":
            yield
            return
        told, cache = self.told, self.cache
        memory = FeatureCache(ByteCache(STILL_BYTES) if cache is None else cache.memory)
        self.told, self.cache = "features", memory if again else None
        self.weights.call(f"still {next(TIMES)}")
        try:
            yield
        finally:
            self.told, self.cache = told, cache
            self.weights.forget()

    @contextmanager
    def see(self, prompts: Sequence[Prompt]) -> Iterator[Seen]:
        """The prompts with their media seen: one pass through the tower, and at exit its one backward pass."""
        gradient = torch.is_grad_enabled() and bool(self.trained)
        with torch.set_grad_enabled(gradient):
            features = self.features(prompts)
        leaves = tuple(f.detach().requires_grad_(gradient and f.requires_grad) for f in features)
        yield Seen(tuple(prompts), leaves)
        pairs = [(f, leaf.grad) for f, leaf in zip(features, leaves, strict=True) if leaf.grad is not None]
        if pairs:
            torch.autograd.backward(*zip(*pairs, strict=True))

    def features(self, prompts: Sequence[Prompt]) -> list[Float[Tensor, "v k d"]]:
        """The tower's output for each prompt: of one level, save for Qwen3-VL, whose deep levels come after it."""
        visions = visions_of(prompts)
        found = self.encode_all(visions) if self.keeps == "nothing" else self.kept(visions)
        if self.keeps == "states":
            found = self.project(found)
        shape = (0, len(mergers(self.visual, self.family)), self.model.config.get_text_config().hidden_size)
        empty = torch.zeros(shape, device=self.model.device, dtype=dtype_of(self.model))
        return [torch.cat([empty, *several]) for several in found]

    def project(self, states: Sequence[Sequence[Float[Tensor, "v k m"]]]) -> list[list[Float[Tensor, "v k d"]]]:
        """Features of what the blocks made of all media, in one pass through the projector."""
        flat = [medium for several in states for medium in several]
        if not flat:
            return [[] for _ in states]
        with autocast(self.model, self.compute):
            made = projected(self.visual, self.family, torch.cat(flat), self.compute)
        made = iter(made.split([len(medium) for medium in flat]))
        return [[next(made) for _ in several] for several in states]

    def encode_all(self, visions: Sequence[Vision]) -> list[list[Float[Tensor, "v k d"]]]:
        """The features of all media; all videos in one call and all images in another."""
        wanted = [(i, j) for i, vision in enumerate(visions) for j in range(len(vision.grids))]
        found: dict[tuple[int, int], Tensor] = {}
        for kind in ("video", "image"):
            places = [(i, j) for i, j in wanted if visions[i].grids[j].kind == kind]
            if places:
                media = [(visions[i].pixels[j], visions[i].grids[j]) for i, j in places]
                found.update(zip(places, self.encode(kind, media), strict=True))
        return [[found[p] for p in wanted if p[0] == i] for i in range(len(visions))]

    def kept(self, visions: Sequence[Vision]) -> list[list[Tensor]]:
        """What is kept of each medium."""
        self.look(visions)
        weights, device = self.digest(), self.model.device
        return [[vision.seen[j, weights].to(device) for j in range(len(vision.grids))] for vision in visions]

    def look(self, visions: Sequence[Vision]) -> None:
        """Whatever is kept is there then: remembered, or each medium encoded by itself."""
        weights = self.digest()
        for vision in visions:
            for j in range(len(vision.grids)):
                if (j, weights) not in vision.seen:
                    vision.seen[j, weights] = self.recall(vision.pixels[j], vision.grids[j], weights)

    def digest(self) -> str:
        """Of the weights that decide what is kept."""
        return (self.blocks if self.keeps == "states" else self.weights).digest()

    def pretend(self, vision: Vision) -> None:
        """Zeros for what the blocks would make of media that nobody learns from."""
        several, merge = mergers(self.visual, self.family), self.visual.config.spatial_merge_size
        for j, grid in enumerate(vision.grids):
            shape = (grid.tokens(merge), len(several), several[0].hidden_size)
            vision.seen[j, self.digest()] = torch.zeros(shape, dtype=dtype_of(self.model))

    @torch.no_grad()
    def recall(self, pixels: Tensor, grid: Grid, weights: str) -> Float[Tensor, "v k m"]:
        """What is kept of one medium, on the host: from the cache, or encoded and then put there."""
        name = "" if self.cache is None else name_of(pixels, grid, weights)
        found = None if self.cache is None else self.cache.get(name)
        if found is None:
            assert not is_cut(self.visual), "ranks keep step here: let the tower look before, with Reader.look"
            with unmerged(self.visual, self.family) if self.keeps == "states" else nullcontext():
                found = self.encode(grid.kind, [(pixels, grid)])[0].cpu()
            if self.cache is not None:
                self.cache.put(name, found)
        return found

    def encode(self, kind: str, media: Sequence[tuple[Tensor, Grid]]) -> Sequence[Float[Tensor, "v k d"]]:
        """One call of the vision tower."""
        self.work.vision_passes += len(media)
        pixels = torch.cat([p for p, _ in media]).to(self.model.device, dtype_of(self.model))
        grids = torch.tensor([(g.frames, g.height, g.width) for _, g in media], device=self.model.device)
        call = self.model.get_video_features if kind == "video" else self.model.get_image_features
        with autocast(self.model, self.compute):
            out = call(pixels, grids, return_dict=True)
        levels = [out.pooler_output, *(getattr(out, "deepstack_features", None) or ())]
        return [torch.stack(one, dim=1) for one in zip(*levels, strict=True)]


def visions_of(prompts: Sequence[Prompt]) -> list[Vision]:
    """What each prompt shows; nothing, for some."""
    return [prompt.vision or Vision((), ()) for prompt in prompts]
