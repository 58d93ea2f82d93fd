"""Media as a model's processors cut them into patches."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from einops import rearrange
from torch import Tensor
from transformers.video_utils import VideoMetadata

from mmrl.data.media.video import Clip
from mmrl.models.families import Grid
from mmrl.models.vision.size_rules import rule_of
from mmrl.models.vision.tower import Vision


def patch_media(processor, media: Sequence[Sequence]) -> list[Vision]:
    """Patches and grids of every example's media; equal sizes are processed together."""
    flat = [medium for several in media for medium in several]
    clips = [m for m in flat if isinstance(m, Clip)]
    images = [m for m in flat if not isinstance(m, Clip)]
    videos = iter(patch_videos(processor.video_processor, clips))
    pictures = iter(patch_images(processor.image_processor, images))
    out = []
    for several in media:
        parts = [next(videos) if isinstance(m, Clip) else next(pictures) for m in several]
        out.append(Vision(tuple(p for p, _ in parts), tuple(g for _, g in parts)))
    return out


def patch_videos(processor, clips: Sequence[Clip]) -> list[tuple[Tensor, Grid]]:
    """Resized, normalised and cut into patches by the model's own video processor.

    Clips that were resized by its rule where they were decoded are not resized again. Raises ValueError for another
    rule's.
    """
    rule = rule_of(processor)
    for clip in clips:
        if clip.rule not in (None, rule):
            raise ValueError(f"frames: expected the size that {rule} gives them, found them resized by {clip.rule}")
    small = iter(patched(processor, [clip for clip in clips if clip.rule], {"do_resize": False}))
    large = iter(patched(processor, [clip for clip in clips if not clip.rule], {}))
    return [next(small if clip.rule else large) for clip in clips]


def patched(processor, clips: Sequence[Clip], settings: Mapping[str, bool]) -> list[tuple[Tensor, Grid]]:
    """The same under some settings of the processor."""
    if not clips:
        return []
    out = processor(
        videos=[rearrange(torch.from_numpy(clip.frames), "f h w c -> f c h w") for clip in clips],
        video_metadata=[metadata(clip) for clip in clips],
        do_sample_frames=False,
        cap_pixels_per_frame=True,
        return_tensors="pt",
        **settings,
    )
    seconds = [processor.temporal_patch_size / clip.sampled_fps for clip in clips]
    made = cut("video", out["pixel_values_videos"], out["video_grid_thw"], seconds)
    times = [times_of(clip, processor.temporal_patch_size) for clip in clips]
    return [(pixels, replace(grid, times=t)) for (pixels, grid), t in zip(made, times, strict=True)]


def patch_images(processor, images: Sequence) -> list[tuple[Tensor, Grid]]:
    """The same for images."""
    if not images:
        return []
    tensors = [rearrange(torch.from_numpy(image), "h w c -> c h w") for image in images]
    out = processor(images=tensors, return_tensors="pt")
    return cut("image", out["pixel_values"], out["image_grid_thw"], [0.0] * len(images))


def metadata(clip: Clip) -> VideoMetadata:
    """A clip's frame choice, for the processor."""
    return VideoMetadata(
        total_num_frames=clip.total,
        fps=clip.fps,
        duration=clip.total / clip.fps,
        video_backend=clip.reader,
        frames_indices=list(clip.indices - clip.first),
    )


def times_of(clip: Clip, patch: int) -> tuple[float, ...]:
    """The time of each temporal patch: between its first and its last frame; a last one that is short ends with its last."""
    times = [float(i) / clip.fps for i in metadata(clip).frames_indices]
    times += times[-1:] * (-len(times) % patch)
    return tuple((times[i] + times[i + patch - 1]) / 2 for i in range(0, len(times), patch))


def cut(kind: str, pixels: Tensor, grids: Tensor, seconds: Sequence[float]) -> list[tuple[Tensor, Grid]]:
    """The processor's flat patches, one tensor a medium again."""
    sizes = grids.prod(dim=1).tolist()
    shapes = [Grid(kind, *grid, seconds=s) for grid, s in zip(grids.tolist(), seconds, strict=True)]
    return list(zip(pixels.split(sizes), shapes, strict=True))
