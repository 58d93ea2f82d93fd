"""Keeps one result of the tower for each medium: with the prompt, in memory, on disk."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from mmrl.models.families import Grid
from mmrl.models.vision.feature_cache import FeatureCache, name_of
from mmrl.models.vision.patches import Vision

Encode = Callable[[Tensor, Grid], Tensor]  # from a medium's patches to the tensor that is kept, on the host


@dataclass(frozen=True, slots=True)
class MediaStore:
    """Finds or makes one tensor for each medium and state of the weights, in this order:

    1. with the prompt (``Vision.kept``): always; gone with the prompt
    2. in memory (``cache.memory``) for the same medium in other prompts: if there is a cache
    3. on disk (``cache.disk``) for later runs: if the cache has one
    4. encode the medium, by itself, and keep the result in all of these
    """

    cache: FeatureCache | None

    def of(self, vision: Vision, weights: str, encode: Encode) -> list[Tensor]:
        """Gives the tensors of a prompt's media; ``weights`` is the digest of the weights that ``encode`` uses."""
        media = list(enumerate(zip(vision.pixels, vision.grids, strict=True)))
        for j, (pixels, grid) in media:
            if (j, weights) not in vision.kept:
                vision.kept[j, weights] = self.cached(pixels, grid, weights, encode)
        return [vision.kept[j, weights] for j, _ in media]

    def cached(self, pixels: Tensor, grid: Grid, weights: str, encode: Encode) -> Tensor:
        """Gives the tensor of a medium from the cache; encodes it and puts it there if it is missing."""
        if self.cache is None:
            return encode(pixels, grid)
        name = name_of(pixels, grid, weights)
        kept = self.cache.get(name)
        if kept is None:
            kept = encode(pixels, grid)
            self.cache.put(name, kept)
        return kept
