"""The vision half of a video language model: a prompt's media are seen once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmrl.models.families import Family, Grid
from mmrl.models.precision import autocast, dtype_of
from mmrl.models.work import Work
from mmrl.types import Prompt


@dataclass(frozen=True, slots=True)
class Vision:
    """What the vision tower is fed for one prompt: per medium its patches and grid, in the order of the prompt."""

    pixels: tuple[Float[Tensor, "patches dim"], ...]
    grids: tuple[Grid, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """Prompts whose media went through the tower."""

    prompts: tuple[Prompt, ...]
    features: tuple[Float[Tensor, "v d"], ...]  # per prompt, a row for each placeholder, in the order of the prompt


@dataclass(frozen=True, slots=True)
class Tower:
    """The vision tower of one set of weights."""

    model: nn.Module
    family: Family
    compute: torch.dtype | None  # as in Reader
    work: Work

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

    def features(self, prompts: Sequence[Prompt]) -> list[Float[Tensor, "v d"]]:
        """The tower's output for each prompt; all videos in one call and all images in another."""
        wanted = [(i, j) for i, prompt in enumerate(prompts) if prompt.vision for j in range(len(prompt.vision.grids))]
        found: dict[tuple[int, int], Tensor] = {}
        for kind in ("video", "image"):
            places = [(i, j) for i, j in wanted if prompts[i].vision.grids[j].kind == kind]
            if places:
                media = [(prompts[i].vision.pixels[j], prompts[i].vision.grids[j]) for i, j in places]
                found.update(zip(places, self.encode(kind, media), strict=True))
        self.work.vision_passes += len(wanted)
        empty = torch.zeros(
            0, self.model.config.get_text_config().hidden_size, device=self.model.device, dtype=dtype_of(self.model)
        )
        return [torch.cat([empty] + [found[p] for p in wanted if p[0] == i]) for i in range(len(prompts))]

    def encode(self, kind: str, media: Sequence[tuple[Tensor, Grid]]) -> Sequence[Float[Tensor, "v d"]]:
        """One call of the vision tower."""
        pixels = torch.cat([p for p, _ in media]).to(self.model.device, dtype_of(self.model))
        grids = torch.tensor([(g.frames, g.height, g.width) for _, g in media], device=self.model.device)
        call = self.model.get_video_features if kind == "video" else self.model.get_image_features
        with autocast(self.model, self.compute):
            return call(pixels, grids, return_dict=True).pooler_output
