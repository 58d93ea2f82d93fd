"""The vision half of a video language model: a prompt's media are seen once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmrl.models.families import Family, Grid
from mmrl.models.feature_cache import FeatureCache, Weights, name_of
from mmrl.models.precision import autocast, dtype_of
from mmrl.models.work import Work
from mmrl.shard import is_cut
from mmrl.types import Prompt


@dataclass(frozen=True, slots=True)
class Vision:
    """What the vision tower is fed for one prompt: per medium its patches and grid, in the order of the prompt."""

    pixels: tuple[Float[Tensor, "patches dim"], ...]
    grids: tuple[Grid, ...]
    seen: dict[tuple[int, str], Tensor] = field(default_factory=dict, compare=False, repr=False)
    """What frozen towers made of it, by medium and weights: as long as there is the prompt, none looks twice."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Prompts whose media went through the tower."""

    prompts: tuple[Prompt, ...]
    features: tuple[Float[Tensor, "v k d"], ...]  # per prompt, for each placeholder its k levels, in the prompt's order


@dataclass
class Tower:
    """The vision tower of one set of weights.

    A frozen tower looks at each medium once, and at each by itself: what it makes of one then does not depend on what
    happened to be asked for with it, so that a cache, full or empty, changes no bit. It is frozen where neither tower
    nor projector trains; if the projector alone trains, the tower passes are made as if both did. A tower that trains,
    or follows one that does, looks at all media of a call together, each time anew.
    """

    model: nn.Module
    family: Family
    compute: torch.dtype | None  # as in Reader
    work: Work
    follows: bool = False  # the weights move, though no gradient reaches them: an average of a tower that trains
    cache: FeatureCache | None = None

    def __post_init__(self) -> None:
        self.weights = Weights(self.model.model.visual, self.compute)

    @property
    def frozen(self) -> bool:
        """Whether what it makes of a medium is the same for the whole run."""
        return not self.follows and not self.trains

    @property
    def trains(self) -> bool:
        """Whether a gradient must reach the vision tower or its projector."""
        prefix = self.family.tower
        return any(p.requires_grad for name, p in self.model.named_parameters() if name.startswith(prefix))

    @contextmanager
    def see(self, prompts: Sequence[Prompt]) -> Iterator[Seen]:
        """The prompts with their media seen: one pass through the tower, and at exit its one backward pass."""
        gradient = torch.is_grad_enabled() and self.trains
        with torch.set_grad_enabled(gradient):
            features = self.features(prompts)
        leaves = tuple(f.detach().requires_grad_(gradient and f.requires_grad) for f in features)
        yield Seen(tuple(prompts), leaves)
        pairs = [(f, leaf.grad) for f, leaf in zip(features, leaves, strict=True) if leaf.grad is not None]
        if pairs:
            torch.autograd.backward(*zip(*pairs, strict=True))

    def features(self, prompts: Sequence[Prompt]) -> list[Float[Tensor, "v k d"]]:
        """The tower's output for each prompt: of one level, save for Qwen3-VL, whose deep levels come after it."""
        look = self.remember if self.frozen else self.encode_all
        found = look([prompt.vision or Vision((), ()) for prompt in prompts])
        config = self.model.config
        levels = 1 + len(getattr(config.vision_config, "deepstack_visual_indexes", ()))
        shape = (0, levels, config.get_text_config().hidden_size)
        empty = torch.zeros(shape, device=self.model.device, dtype=dtype_of(self.model))
        return [torch.cat([empty, *several]) for several in found]

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

    def remember(self, visions: Sequence[Vision]) -> list[list[Float[Tensor, "v k d"]]]:
        """The same from a frozen tower: remembered, or each medium encoded by itself."""
        weights = self.weights.digest()
        for vision in visions:
            for j in range(len(vision.grids)):
                if (j, weights) not in vision.seen:
                    vision.seen[j, weights] = self.recall(vision.pixels[j], vision.grids[j], weights)
        device = self.model.device
        return [[vision.seen[j, weights].to(device) for j in range(len(vision.grids))] for vision in visions]

    @torch.no_grad()
    def recall(self, pixels: Tensor, grid: Grid, weights: str) -> Float[Tensor, "v k d"]:
        """One medium's features on the host, from the cache, or encoded and then kept there."""
        name = "" if self.cache is None else name_of(pixels, grid, weights)
        features = None if self.cache is None else self.cache.get(name)
        if features is None:
            assert not is_cut(self.weights.tower), "ranks keep step here: let the tower look before, with Reader.look"
            features = self.encode(grid.kind, [(pixels, grid)])[0].cpu()
            if self.cache is not None:
                self.cache.put(name, features)
        return features

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
