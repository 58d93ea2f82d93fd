"""The size to which a model's processor brings a frame or an image.

Stated here as well as in transformers, because the processes that decode must not import that: it would cost each of
them seconds and half a gigabyte. ``models/vision/processor_sizes.py`` makes the rules of a processor.
"""

import math
from dataclasses import dataclass
from typing import Literal

Size = tuple[int, int]  # height, width

LONGEST = 200  # times as long as the other: a side that processors refuse
SPENT = 0.9  # of max_video_tokens may be spent on a video (Qwen2-VL)
ABOVE_LEAST = 1.05  # times the least pixels is as low as a budget for several frames brings the most


@dataclass(frozen=True, slots=True)
class SizeRule:
    """The settings of a processor that decide sizes.

    ``of`` says what ``least`` and ``most`` bound the pixels of: an image; each frame of a video, as Qwen2-VL and Qwen2.5-VL
    have it; all frames of a video together, as Qwen3-VL has it. Videos as under ``cap_pixels_per_frame=True``.
    """

    of: Literal["image", "frame", "video"]
    factor: int  # both sides become multiples of it
    least: int  # pixels
    most: int
    patch: int = 1  # frames of a temporal patch
    tokens: int = 0  # max_video_tokens of the processor: of a video under "frame", of a frame under "video"

    def __call__(self, size: Size, frames: int = 1) -> Size | None:
        """Return the size of ``frames`` frames after resizing, or None where the processor refuses them.

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
    """Those of a model; None for media that stay as they are in the file."""

    video: SizeRule | None = None
    image: SizeRule | None = None


def lifted(size: Size, factor: int) -> Size:
    """Return a size of which no side is below the factor, of about the same shape."""
    if min(size) >= factor:
        return size
    scale = max(factor / side for side in size)
    return int(size[0] * scale), int(size[1] * scale)


def multiples(size: Size, factor: int, least: int, most: int, frames: int = 1, counted: int = 1) -> Size | None:
    """Return the nearest multiples of the factor; where ``counted`` frames of these miss a bound, those on its other side.

    How far that is follows from the true number of frames. None for a strip.
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
