"""The vision tower as functions of media. They remember nothing."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmrl.models.families import Family, Grid
from mmrl.models.language import Work, autocast, dtype_of
from mmrl.models.transformers_versions import feature_levels
from mmrl.models.vision.patches import Vision
from mmrl.models.vision.projector import mergers, projected, unmerged

Medium = tuple[Float[Tensor, "patches dim"], Grid]


@dataclass(frozen=True, slots=True)
class Encoder:
    """Calls the vision tower of one set of weights: its blocks, and the projector behind them.

    Features are ``[v k d]``: for each placeholder token, ``k`` levels of the language model's width. ``k`` is 1 save for
    Qwen3-VL. Block states are ``[v k m]``: the projector's inputs.
    """

    model: nn.Module
    family: Family
    compute: torch.dtype | None  # as in Reader
    work: Work

    @property
    def visual(self) -> nn.Module:
        """The tower, projector included."""
        return self.model.model.visual

    def encode(self, kind: str, media: Sequence[Medium]) -> list[Float[Tensor, "v k d"]]:
        """Calls the vision tower once, for media of one kind; gives the features of each."""
        self.work.vision_passes += len(media)
        pixels = torch.cat([p for p, _ in media]).to(self.model.device, dtype_of(self.model))
        grids = torch.tensor([(g.frames, g.height, g.width) for _, g in media], device=self.model.device)
        call = self.model.get_video_features if kind == "video" else self.model.get_image_features
        with autocast(self.model, self.compute):
            out = call(pixels, grids, return_dict=True)
        return [torch.stack(one, dim=1) for one in zip(*feature_levels(out), strict=True)]

    def encode_all(self, visions: Sequence[Vision]) -> list[list[Float[Tensor, "v k d"]]]:
        """Encodes all media of several prompts: all videos in one call and all images in another."""
        wanted = [(i, j) for i, vision in enumerate(visions) for j in range(len(vision.grids))]
        features: dict[tuple[int, int], Tensor] = {}
        for kind in ("video", "image"):
            places = [(i, j) for i, j in wanted if visions[i].grids[j].kind == kind]
            if places:
                media = [(visions[i].pixels[j], visions[i].grids[j]) for i, j in places]
                features.update(zip(places, self.encode(kind, media), strict=True))
        return [[features[p] for p in wanted if p[0] == i] for i in range(len(visions))]

    @torch.no_grad()
    def encode_alone(self, pixels: Tensor, grid: Grid, states: bool) -> Float[Tensor, "v k d"]:
        """Gives the features, or block states, of one medium by itself; on the host, without gradient."""
        with unmerged(self.visual, self.family) if states else nullcontext():
            return self.encode(grid.kind, [(pixels, grid)])[0].cpu()

    def project(self, states: Sequence[Sequence[Float[Tensor, "v k m"]]]) -> list[list[Float[Tensor, "v k d"]]]:
        """Computes features from the block states of all media, in one pass through the projector."""
        flat = [medium for several in states for medium in several]
        if not flat:
            return [[] for _ in states]
        with autocast(self.model, self.compute):
            features = projected(self.visual, self.family, torch.cat(flat), self.compute)
        each = iter(features.split([len(medium) for medium in flat]))
        return [[next(each) for _ in several] for several in states]

    def no_features(self) -> Float[Tensor, "0 k d"]:
        """Gives the features of no medium."""
        shape = (0, len(mergers(self.visual, self.family)), self.model.config.get_text_config().hidden_size)
        return torch.zeros(shape, device=self.model.device, dtype=dtype_of(self.model))

    def zero_states(self, grid: Grid) -> Float[Tensor, "v k m"]:
        """Gives zeros of the shape of a medium's block states, on the host."""
        levels, merge = mergers(self.visual, self.family), self.visual.config.spatial_merge_size
        return torch.zeros(grid.tokens(merge), len(levels), levels[0].hidden_size, dtype=dtype_of(self.model))
