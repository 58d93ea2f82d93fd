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
from mmrl.models.vision.feature_cache import FeatureCache, arithmetic
from mmrl.models.vision.media_store import MediaStore
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


@dataclass
class Tower:
    """The vision tower of one set of weights, and the results of it that are kept.

    ``CacheLevel`` says what is kept. ``MediaStore`` says in which order the places are searched; there are these:

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
        gradient = torch.is_grad_enabled() and bool(self.trained)
        with torch.set_grad_enabled(gradient):
            features = self.features(prompts)
        leaves = tuple(f.detach().requires_grad_(gradient and f.requires_grad) for f in features)
        yield Seen(tuple(prompts), leaves)
        pairs = [(f, leaf.grad) for f, leaf in zip(features, leaves, strict=True) if leaf.grad is not None]
        if pairs:
            torch.autograd.backward(*zip(*pairs, strict=True))

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
        store, weights = MediaStore(self.cache), self.kept_weights.digest()
        return [store.of(vision, weights, self.encode_to_keep) for vision in visions]

    @property
    def kept_weights(self) -> Fingerprint:
        """The weights that decide the kept results."""
        return self.blocks if self.cache_level == CacheLevel.STATES else self.weights

    def encode_to_keep(self, pixels: Tensor, grid: Grid) -> Tensor:
        """Encodes one medium as far as the cache level says."""
        assert not is_cut(self.encoder.visual), "ranks keep step here: encode before, with Reader.look"
        states = self.cache_level == CacheLevel.STATES
        return self.encoder.block_states(pixels, grid) if states else self.encoder.features(pixels, grid)

    def keep_zeros(self, vision: Vision) -> None:
        """Keeps zeros as the block states of media that nobody learns from, so that the blocks need not run."""
        for j, grid in enumerate(vision.grids):
            vision.kept[j, self.blocks.digest()] = self.encoder.zero_states(grid)
