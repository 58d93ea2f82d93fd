"""The vision half of a video language model: it encodes a prompt's media and caches the results of frozen parts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import count

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from mmrl.models.families import Family, Grid
from mmrl.models.fingerprint import Fingerprint
from mmrl.models.language import Work, autocast, dtype_of
from mmrl.models.transformers_versions import feature_levels
from mmrl.models.vision.feature_cache import FeatureCache, arithmetic, name_of
from mmrl.models.vision.patches import Vision, visions_of
from mmrl.models.vision.projector import mergers, parts, projected, unmerged
from mmrl.runtime.memory_cache import ByteCache
from mmrl.types import Prompt

Medium = tuple[Float[Tensor, "patches dim"], Grid]
REUSE_KEYS = count()  # a unique key for each use of ``reuse_features``
REUSE_BYTES = 2**30  # the limit of features in memory inside ``reuse_features``, if the tower has no cache


class CacheLevel(StrEnum):
    """The last results of the tower that do not change; they are computed once per medium and cached.

    | level    | condition                       | cached per medium       | computed in each call             |
    |----------|---------------------------------|-------------------------|-----------------------------------|
    | NOTHING  | blocks of the tower train       | nothing                 | blocks, projector; media together |
    | STATES   | the projector alone trains      | block states  ``v k m`` | projector                         |
    | FEATURES | nothing of the tower trains     | features      ``v k d`` | nothing                           |
    | FEATURES | inside ``reuse_features``       | features      ``v k d`` | nothing                           |
    """

    NOTHING = "nothing"
    STATES = "states"
    FEATURES = "features"


@dataclass(frozen=True, slots=True)
class EncodedPrompts:
    """Prompts and the features of their media."""

    prompts: tuple[Prompt, ...]
    features: tuple[Float[Tensor, "v k d"], ...]  # one tensor per prompt: k levels for each placeholder, in their order


@contextmanager
def one_backward(tensors: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """Yield leaves instead of the tensors; one backward pass at exit propagates the gradients that the leaves have collected."""
    leaves = tuple(x.detach().requires_grad_(x.requires_grad) for x in tensors)
    yield leaves
    pairs = [(x, leaf.grad) for x, leaf in zip(tensors, leaves, strict=True) if leaf.grad is not None]
    if pairs:
        torch.autograd.backward(*zip(*pairs, strict=True))


@dataclass
class Tower:
    """The vision tower of one set of weights, its blocks and the projector behind them, with caches of its results.

    Features are ``[v k d]``: for each placeholder token, ``k`` levels of the language model's width. ``k`` is 1 except for
    Qwen3-VL. Block states are ``[v k m]``: the projector's inputs.

    ``CacheLevel`` decides what is cached. The caches are searched in this order:

    | weights                                | with the prompt | in memory              | on disk              |
    |----------------------------------------|-----------------|------------------------|----------------------|
    | the same for the whole run             | yes             | if there is a cache    | if the cache has one |
    | inside ``reuse_features(again=True)``  | yes             | the cache's, or 1 GiB  | no                   |
    | inside ``reuse_features(again=False)`` | yes             | no                     | no                   |

    Each medium is encoded by itself for a cache. So cached results do not depend on the other media of a call, and a cache,
    full or empty, does not change any bit.
    """

    model: nn.Module
    family: Family
    compute: torch.dtype | None  # as in Reader
    work: Work
    fixed_level: CacheLevel | None = (
        None  # overrides the level that follows from requires_grad (copies, reuse_features)
    )
    cache: FeatureCache | None = None

    def __post_init__(self) -> None:
        facts = partial(arithmetic, self.visual, self.compute)
        self.weights = Fingerprint(self.visual, buffers=True, facts=facts)
        self.blocks = Fingerprint(self.visual, parts(self.family), buffers=True, facts=facts)

    @property
    def visual(self) -> nn.Module:
        """The tower module, including the projector."""
        return self.model.model.visual

    @property
    def cache_level(self) -> CacheLevel:
        """The last results on a medium that stay the same for the whole run."""
        if self.fixed_level is not None:
            return self.fixed_level
        trained = self.trained
        if not trained:
            return CacheLevel.FEATURES
        of_projector = all(name.startswith(parts(self.family)) for name in trained)
        return CacheLevel.STATES if of_projector else CacheLevel.NOTHING

    @property
    def trained(self) -> list[str]:
        """The names, inside the tower, of its and the projector's trainable parameters."""
        return [name for name, parameter in self.visual.named_parameters() if parameter.requires_grad]

    @contextmanager
    def reuse_features(self, again: bool) -> Iterator[None]:
        """Cache the features of a trainable tower inside the block, in which the weights must not change.

        Pass ``again=True`` if other prompts will show the same media: then features are cached in memory too, not only with
        their prompt.
        """
        if self.cache_level != CacheLevel.NOTHING:
            yield
            return
        level, cache = self.fixed_level, self.cache
        memory = ByteCache(REUSE_BYTES) if cache is None else cache.memory
        self.fixed_level, self.cache = CacheLevel.FEATURES, FeatureCache(memory) if again else None
        self.weights.name(f"reuse {next(REUSE_KEYS)}")
        try:
            yield
        finally:
            self.fixed_level, self.cache = level, cache
            self.weights.forget()

    @contextmanager
    def encode_prompts(self, prompts: Sequence[Prompt]) -> Iterator[EncodedPrompts]:
        """Encode the prompts' media in one pass through the tower; its one backward pass runs at exit."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and bool(self.trained)):
            features = self.features(prompts)
        with one_backward(features) as leaves:
            yield EncodedPrompts(tuple(prompts), leaves)

    def features(self, prompts: Sequence[Prompt]) -> list[Float[Tensor, "v k d"]]:
        """Return the features of each prompt's media, from a cache or newly encoded."""
        visions, level = visions_of(prompts), self.cache_level
        if level == CacheLevel.NOTHING:
            features = self.encode_all(visions)
        else:
            encoded = self.encode_ahead(visions)
            features = [[medium.to(self.model.device) for medium in of_prompt] for of_prompt in encoded]
        if level == CacheLevel.STATES:
            features = self.project(features)
        shape = (0, len(mergers(self.visual, self.family)), self.model.config.get_text_config().hidden_size)
        empty = torch.zeros(shape, device=self.model.device, dtype=dtype_of(self.model))
        return [torch.cat([empty, *of_prompt]) for of_prompt in features]

    def encode_ahead(self, visions: Sequence[Vision]) -> list[list[Tensor]]:
        """Return the cached results of media at the cache level; missing ones are encoded first."""
        states = self.cache_level == CacheLevel.STATES
        weights = (self.blocks if states else self.weights).digest()  # the weights that decide the cached results
        for vision in visions:
            for j, medium in enumerate(zip(vision.pixels, vision.grids, strict=True)):
                if (j, weights) not in vision.cached:
                    vision.cached[j, weights] = self.cached(*medium, weights, states)
        return [[vision.cached[j, weights] for j in range(len(vision.grids))] for vision in visions]

    def cached(self, pixels: Tensor, grid: Grid, weights: str, states: bool) -> Tensor:
        """Return the features or block states of a medium, from the cache if there is one."""
        encode = partial(self.encode_alone, pixels, grid, states)
        return encode() if self.cache is None else self.cache.of(name_of(pixels, grid, weights), encode)

    def cache_zeros(self, vision: Vision) -> None:
        """Store zeros as the block states of dummy media, so that the blocks need not run."""
        levels, merge = mergers(self.visual, self.family), self.visual.config.spatial_merge_size
        for j, grid in enumerate(vision.grids):
            shape = grid.tokens(merge), len(levels), levels[0].hidden_size
            vision.cached[j, self.blocks.digest()] = torch.zeros(shape, dtype=dtype_of(self.model))

    def encode(self, kind: str, media: Sequence[Medium]) -> list[Float[Tensor, "v k d"]]:
        """Call the vision tower once, for media of one kind; return the features of each."""
        self.work.vision_passes += len(media)
        pixels = torch.cat([p for p, _ in media]).to(self.model.device, dtype_of(self.model))
        grids = torch.tensor([(g.frames, g.height, g.width) for _, g in media], device=self.model.device)
        call = self.model.get_video_features if kind == "video" else self.model.get_image_features
        with autocast(self.model, self.compute):
            out = call(pixels, grids, return_dict=True)
        return [torch.stack(levels, dim=1) for levels in zip(*feature_levels(out), strict=True)]

    def encode_all(self, visions: Sequence[Vision]) -> list[list[Float[Tensor, "v k d"]]]:
        """Encode all media of several prompts: all videos in one call and all images in another."""
        media = [medium for vision in visions for medium in zip(vision.pixels, vision.grids, strict=True)]
        encoded = {
            kind: iter(self.encode(kind, of_kind))
            for kind in ("video", "image")
            if (of_kind := [medium for medium in media if medium[1].kind == kind])
        }
        return [[next(encoded[grid.kind]) for grid in vision.grids] for vision in visions]

    @torch.no_grad()
    def encode_alone(self, pixels: Tensor, grid: Grid, states: bool) -> Float[Tensor, "v k d"]:
        """Encode one medium by itself; return its features or block states on the host, without gradient."""
        sharded = any(isinstance(parameter, DTensor) for parameter in self.visual.parameters())
        assert not sharded, "ranks must stay in step here: encode before, with Reader.encode_media"
        with unmerged(self.visual, self.family) if states else nullcontext():
            return self.encode(grid.kind, [(pixels, grid)])[0].cpu()

    def project(self, states: Sequence[Sequence[Float[Tensor, "v k m"]]]) -> list[list[Float[Tensor, "v k d"]]]:
        """Compute features from the block states of all media, in one pass through the projector."""
        flat = [medium for of_prompt in states for medium in of_prompt]
        if not flat:
            return [[] for _ in states]
        with autocast(self.model, self.compute):
            features = projected(self.visual, self.family, torch.cat(flat), self.compute)
        each = iter(features.split([len(medium) for medium in flat]))
        return [[next(each) for _ in of_prompt] for of_prompt in states]
