"""Media made as small as the model's processor would make them, in the process that decodes them."""

from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from mmrl.data.media.frame_size import Size, SizeRule
from mmrl.data.media.video import Clip


def downscaled(medium: Clip | np.ndarray, rule: SizeRule) -> Clip | np.ndarray:
    """Return a clip or an image ``[h w 3]`` in the size that the rule gives it, where it has fewer pixels than the file's.

    A clip then says by which rule. An image cannot say so and will be resized once more; where that would not leave it as
    it is (bounds that lie close together), it is not made smaller here. What the processor refuses is left to it.
    """
    if isinstance(medium, Clip):
        there = medium.frames.shape[1:3]
        size = rule(there, len(medium.frames))
        return replace(medium, frames=resized(medium.frames, size), rule=rule) if smaller(size, there) else medium
    there = medium.shape[:2]
    size = rule(there)
    return resized(medium[None], size)[0] if smaller(size, there) and rule(size) == size else medium


def smaller(size: Size | None, there: Size) -> bool:
    """Return whether it has fewer pixels than what is there; if there is such a size."""
    return size is not None and size[0] * size[1] < there[0] * there[1]


def resized(frames: UInt8[np.ndarray, "f h w 3"], size: Size) -> UInt8[np.ndarray, "f h2 w2 3"]:
    """Bicubic with antialiasing, in the whole numbers of torch's own kernel for bytes: the last bit is the processor's.

    torchvision's ``resize``, which processors call, calls the same kernel. Its plain, AVX2 and AVX-512 versions give the same
    bits (seen with ATEN_CPU_CAPABILITY), as does any number of frames at a time and any order of axes in memory.
    """
    import torch  # 3 s and 300 MB in a process that decodes: only where there is something to make smaller
    from torch.nn.functional import interpolate

    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)
    made = interpolate(pixels, size, mode="bicubic", align_corners=False, antialias=True)
    return np.ascontiguousarray(made.permute(0, 2, 3, 1).numpy())
