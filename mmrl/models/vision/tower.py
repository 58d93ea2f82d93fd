"""The vision half of a video language model: encodes a prompt's media, and no medium more often than it must."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import count

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.models.families import Grid
from mmrl.models.fingerprint import Fingerprint
from mmrl.models.vision.encoder import Encoder
from mmrl.models.vision.feature_cache import FeatureCache, arithmetic, name_of
from mmrl.models.vision.patches import Vision, visions_of
from mmrl.models.vision.projector import parts
from mmrl.runtime.memory_cache import ByteCache
from mmrl.runtime.sharding import is_cut
from mmrl.types import Prompt

STILL_KEYS = count()  # one for each time that weights stand still for a while
STILL_BYTES = 2**30  # of features in memory, while a tower without a cache stands still


class CacheLevel(StrEnum):
    """Says how far into the tower its results on a medium stay the same; so far they are computed once and kept.

    | level    | if                              | kept of a medium        | computed in each call             |
    |----------|---------------------------------|-------------------------|-----------------------------------|
    | NOTHING  | blocks of the tower train       | nothing                 | blocks, projector; media together |
    | STATES   | the projector alone trains      | block states  ``v k m`` | projector                         |
    | FEATURES | nothing of the tower trains     | features      ``v k d`` | nothing                           |
    | FEATURES | inside ``still``, for that time | features      ``v k d`` | nothing                           |
    """

    NOTHING = "nothing"
    STATES = "states"
    FEATURES = "features"


@dataclass(frozen=True, slots=True)
class Seen:
    """Prompts and the features of their media."""

    prompts: tuple[Prompt, ...]
    features: tuple[Float[Tensor, "v k d"], ...]  # per prompt, for each placeholder its k levels, in the prompt's order


@contextmanager
def one_backward(tensors: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """Gives leaves in place of some tensors; the gradients that they gather inside go back in one pass at exit."""
    leaves = tuple(x.detach().requires_grad_(x.requires_grad) for x in tensors)
    yield leaves
    pairs = [(x, leaf.grad) for x, leaf in zip(tensors, leaves, strict=True) if leaf.grad is not None]
    if pairs:
        torch.autograd.backward(*zip(*pairs, strict=True))


@dataclass
class Tower:
    """The vision tower of one set of weights, and the results of it that are kept.

    ``CacheLevel`` says what is kept. The places where it is kept are searched in this order:

    | weights                       | with the prompt | in memory              | on disk              |
    |-------------------------------|-----------------|------------------------|----------------------|
    | the same for the whole run    | yes             | if there is a cache    | if the cache has one |
    | inside ``still(again=True)``  | yes             | the cache's, or 1 GiB  | no                   |
    | inside ``still(again=False)`` | yes             | no                     | no                   |

    Kept results are of each medium by itself. So they do not depend on the other media of a call, and a cache, full or
    empty, changes no bit.
    """

    encoder: Encoder
    fixed_level: CacheLevel | None = (
        None  # replaces the level that requires_grad tells: for copies, and inside ``still``
    )
    cache: FeatureCache | None = None

    def __post_init__(self) -> None:
        visual = self.encoder.visual
        facts = partial(arithmetic, visual, self.encoder.compute)
        self.weights = Fingerprint(visual, buffers=True, facts=facts)
        self.blocks = Fingerprint(visual, parts(self.encoder.family), buffers=True, facts=facts)

    @property
    def cache_level(self) -> CacheLevel:
        """Tells how far the results on a medium stay the same for the whole run."""
        if self.fixed_level is not None:
            return self.fixed_level
        trained = self.trained
        if not trained:
            return CacheLevel.FEATURES
        of_projector = all(name.startswith(parts(self.encoder.family)) for name in trained)
        return CacheLevel.STATES if of_projector else CacheLevel.NOTHING

    @property
    def trained(self) -> list[str]:
        """Names, inside the tower, of its and the projector's parameters that a gradient must reach."""
        return [name for name, parameter in self.encoder.visual.named_parameters() if parameter.requires_grad]

    @contextmanager
    def still(self, again: bool) -> Iterator[None]:
        """Promises that nobody writes to the weights inside: a tower that trains keeps features, too, for that time.

        ``again`` says that other prompts will show the same media: features are then kept in memory as well.
        """
        if self.cache_level != CacheLevel.NOTHING:
            yield
            return
        level, cache = self.fixed_level, self.cache
        memory = ByteCache(STILL_BYTES) if cache is None else cache.memory
        self.fixed_level, self.cache = CacheLevel.FEATURES, FeatureCache(memory) if again else None
        self.weights.name(f"still {next(STILL_KEYS)}")
        try:
            yield
        finally:
            self.fixed_level, self.cache = level, cache
            self.weights.forget()

    @contextmanager
    def see(self, prompts: Sequence[Prompt]) -> Iterator[Seen]:
        """Encodes the prompts' media in one pass through the tower; its one backward pass runs at exit."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and bool(self.trained)):
            features = self.features(prompts)
        with one_backward(features) as leaves:
            yield Seen(tuple(prompts), leaves)

    def features(self, prompts: Sequence[Prompt]) -> list[Float[Tensor, "v k d"]]:
        """Gives the features of each prompt's media, kept or encoded."""
        visions, level = visions_of(prompts), self.cache_level
        if level == CacheLevel.NOTHING:
            features = self.encoder.encode_all(visions)
        else:
            device = self.encoder.model.device
            features = [[kept.to(device) for kept in several] for several in self.encode_ahead(visions)]
        if level == CacheLevel.STATES:
            features = self.encoder.project(features)
        return [torch.cat([self.encoder.no_features(), *several]) for several in features]

    def encode_ahead(self, visions: Sequence[Vision]) -> list[list[Tensor]]:
        """Encodes media as far as the cache level says, unless that was done before; gives the kept results."""
        states = self.cache_level == CacheLevel.STATES
        weights = (self.blocks if states else self.weights).digest()  # those that decide the kept results
        for vision in visions:
            for j, medium in enumerate(zip(vision.pixels, vision.grids, strict=True)):
                if (j, weights) not in vision.kept:
                    vision.kept[j, weights] = self.cached(*medium, weights, states)
        return [[vision.kept[j, weights] for j in range(len(vision.grids))] for vision in visions]

    def cached(self, pixels: Tensor, grid: Grid, weights: str, states: bool) -> Tensor:
        """Gives the features or block states of a medium from the cache; encodes it and puts them there if they are missing."""
        name = "" if self.cache is None else name_of(pixels, grid, weights)
        kept = None if self.cache is None else self.cache.get(name)
        if kept is None:
            assert not is_cut(self.encoder.visual), "ranks keep step here: encode before, with Reader.look"
            kept = self.encoder.encode_alone(pixels, grid, states)
            if self.cache is not None:
                self.cache.put(name, kept)
        return kept

    def keep_zeros(self, vision: Vision) -> None:
        """Keeps zeros as the block states of media that nobody learns from, so that the blocks need not run."""
        for j, grid in enumerate(vision.grids):
            vision.kept[j, self.blocks.digest()] = self.encoder.zero_states(grid)
