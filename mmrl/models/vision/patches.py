"""Cut media into patches, the input of a vision tower, with the model's own processors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from transformers.video_utils import VideoMetadata

from mmrl.data.media.video import Clip
from mmrl.models.families import Grid
from mmrl.models.vision.processor_sizes import rule_of
from mmrl.types import Prompt


@dataclass(frozen=True, slots=True)
class Vision:
    """The media of one prompt, in its order: patches, grids, and cached results of towers."""

    pixels: tuple[Float[Tensor, "patches dim"], ...]
    grids: tuple[Grid, ...]
    cached: dict[tuple[int, str], Tensor] = field(default_factory=dict, compare=False, repr=False)
    """Results by (index of the medium, digest of the weights); ``Tower.encode_ahead`` writes them, for the prompt's lifetime."""


def visions_of(prompts: Sequence[Prompt]) -> list[Vision]:
    """Return the media of each prompt, or an empty Vision for a prompt without media."""
    return [prompt.vision or Vision((), ()) for prompt in prompts]


def patch_media(processor, media: Sequence[Sequence]) -> list[Vision]:
    """Cut every example's media into patches; equal sizes are processed together."""
    flat = [medium for of_example in media for medium in of_example]
    clips = [m for m in flat if isinstance(m, Clip)]
    images = [m for m in flat if not isinstance(m, Clip)]
    videos = iter(patch_videos(processor.video_processor, clips))
    pictures = iter(patch_images(processor.image_processor, images))
    out = []
    for of_example in media:
        parts = [next(videos) if isinstance(m, Clip) else next(pictures) for m in of_example]
        out.append(Vision(tuple(p for p, _ in parts), tuple(g for _, g in parts)))
    return out


def patch_videos(processor, clips: Sequence[Clip]) -> list[tuple[Tensor, Grid]]:
    """Resize clips, normalise them and cut them into patches, with the model's own video processor.

    Clips that the decoding process has resized by its rule are not resized again. Raises ValueError if a clip was resized by
    another rule.
    """
    rule = rule_of(processor)
    for clip in clips:
        if clip.rule not in (None, rule):
            raise ValueError(f"frames: expected the size that {rule} gives them, found them resized by {clip.rule}")
    small = iter(patched(processor, [clip for clip in clips if clip.rule], {"do_resize": False}))
    large = iter(patched(processor, [clip for clip in clips if not clip.rule], {}))
    return [next(small if clip.rule else large) for clip in clips]


def patched(processor, clips: Sequence[Clip], settings: Mapping[str, bool]) -> list[tuple[Tensor, Grid]]:
    """Cut clips into patches under the given settings of the processor."""
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
    patch = processor.temporal_patch_size
    clocks = [(patch / clip.sampled_fps, times_of(clip, patch)) for clip in clips]
    return cut("video", out["pixel_values_videos"], out["video_grid_thw"], clocks)


def patch_images(processor, images: Sequence) -> list[tuple[Tensor, Grid]]:
    """Resize images, normalise them and cut them into patches, with the model's own image processor."""
    if not images:
        return []
    tensors = [rearrange(torch.from_numpy(image), "h w c -> c h w") for image in images]
    out = processor(images=tensors, return_tensors="pt")
    return cut("image", out["pixel_values"], out["image_grid_thw"], [()] * len(images))


def metadata(clip: Clip) -> VideoMetadata:
    """Return a clip's frame choice in the form that the processor expects."""
    return VideoMetadata(
        total_num_frames=clip.total,
        fps=clip.fps,
        duration=clip.total / clip.fps,
        video_backend=clip.reader,
        frames_indices=list(clip.indices - clip.first),
    )


def times_of(clip: Clip, patch: int) -> tuple[float, ...]:
    """Return the time of each temporal patch in seconds: the mean of its first and last frame.

    A short last patch repeats its last frame.
    """
    times = [float(i) / clip.fps for i in metadata(clip).frames_indices]
    times += times[-1:] * (-len(times) % patch)
    return tuple((times[i] + times[i + patch - 1]) / 2 for i in range(0, len(times), patch))


def cut(kind: str, pixels: Tensor, grids: Tensor, clocks: Sequence[tuple]) -> list[tuple[Tensor, Grid]]:
    """Split the processor's flat patches into one tensor per medium; ``clocks`` hold the grids' fields of time."""
    shapes = [Grid(kind, *grid, *clock) for grid, clock in zip(grids.tolist(), clocks, strict=True)]
    return list(zip(pixels.split(grids.prod(dim=1).tolist()), shapes, strict=True))
