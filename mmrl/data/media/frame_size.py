"""The size to which a model's processor resizes a frame or an image.

The rules repeat those in transformers, because the processes that decode must not import transformers: that would cost each
process seconds and half a gigabyte. ``models/vision/processor_sizes.py`` derives the rules from a processor.
"""

import math
from dataclasses import dataclass
from typing import Literal

Size = tuple[int, int]  # height, width

LONGEST = 200  # the largest aspect ratio that processors accept
SPENT = 0.9  # the fraction of max_video_tokens that a video may use (Qwen2-VL)
ABOVE_LEAST = 1.05  # a budget for several frames lowers the most pixels to this many times the least, and no further


@dataclass(frozen=True, slots=True)
class SizeRule:
    """The settings of a processor that decide sizes.

    ``least`` and ``most`` bound the pixels of the object that ``of`` names: an image, each frame of a video (Qwen2-VL and
    Qwen2.5-VL), or all frames of a video together (Qwen3-VL). Videos follow ``cap_pixels_per_frame=True``.
    """

    of: Literal["image", "frame", "video"]
    factor: int  # both sides become multiples of it
    least: int  # pixels
    most: int
    patch: int = 1  # frames of a temporal patch
    tokens: int = 0  # the processor's max_video_tokens: per video if ``of`` is "frame", per frame if it is "video"

    def __call__(self, size: Size, frames: int = 1) -> Size | None:
        """Return the size of ``frames`` frames after resizing, or None if the processor refuses them.

        Source: ``resize`` and ``smart_resize`` in transformers' video_processing_qwen2_vl, video_processing_qwen3_vl and
        image_processing_qwen2_vl, operation by operation, because a rounding decides a row of patches.
        """
        if self.of == "image":
            return multiples(size, self.factor, self.least, self.most)
        if self.of == "frame":
            budget = int(self.tokens * self.factor * self.factor * SPENT) * self.patch // frames
            most = max(min(self.most, budget), int(self.least * ABOVE_LEAST))
            return multiples(size, self.factor, self.least, most)
        if frames < self.patch:
            return None
        budget = min(self.tokens * self.factor * self.factor, self.most // frames)
        most = max(budget, int(self.least * ABOVE_LEAST)) * frames
        counted = round(frames / self.patch) * self.patch
        return multiples(lifted(size, self.factor), self.factor, self.least, most, frames, counted)


@dataclass(frozen=True, slots=True)
class SizeRules:
    """The size rules of a model; None means that media keep the size of the file."""

    video: SizeRule | None = None
    image: SizeRule | None = None


def lifted(size: Size, factor: int) -> Size:
    """Return a size of about the same aspect ratio with no side below the factor."""
    if min(size) >= factor:
        return size
    scale = max(factor / side for side in size)
    return int(size[0] * scale), int(size[1] * scale)


def multiples(size: Size, factor: int, least: int, most: int, frames: int = 1, counted: int = 1) -> Size | None:
    """Return the nearest multiples of the factor; if ``counted`` frames of them miss a bound, multiples that respect it.

    The scale then follows from the true number of frames. Return None if the aspect ratio is above LONGEST.
    """
    if max(size) / min(size) > LONGEST:
        return None
    near = tuple(round(side / factor) * factor for side in size)
    pixels, true = counted * near[0] * near[1], frames * size[0] * size[1]
    if pixels > most:
        scale = math.sqrt(true / most)
        near = tuple(max(factor, math.floor(side / scale / factor) * factor) for side in size)
    elif pixels < least:
        scale = math.sqrt(least / true)
        near = tuple(math.ceil(side * scale / factor) * factor for side in size)
    return near
