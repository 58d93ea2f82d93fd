"""Downscale media to the size that the model's processor would give them, in the process that decodes them."""

from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from mmrl.data.media.frame_size import Size, SizeRule
from mmrl.data.media.video import Clip


def downscaled(medium: Clip | np.ndarray, rule: SizeRule) -> Clip | np.ndarray:
    """Return a clip or an image ``[h w 3]`` in the rule's size if that has fewer pixels; else return it unchanged.

    A clip then carries the rule in ``Clip.rule``. An image cannot carry it, and the processor resizes it again; if that would
    change it once more (because the bounds lie close together), it is not downscaled here. Sizes that the processor refuses
    are unchanged too, so that the processor raises the error.
    """
    if isinstance(medium, Clip):
        original = medium.frames.shape[1:3]
        size = rule(original, len(medium.frames))
        return replace(medium, frames=resized(medium.frames, size), rule=rule) if smaller(size, original) else medium
    original = medium.shape[:2]
    size = rule(original)
    return resized(medium[None], size)[0] if smaller(size, original) and rule(size) == size else medium


def smaller(size: Size | None, original: Size) -> bool:
    """Return True if a size exists and has fewer pixels than the original."""
    return size is not None and size[0] * size[1] < original[0] * original[1]


def resized(frames: UInt8[np.ndarray, "f h w 3"], size: Size) -> UInt8[np.ndarray, "f h2 w2 3"]:
    """Resize with bicubic interpolation and antialiasing, by torch's integer kernel: the result equals the processor's, bit by bit.

    torchvision's ``resize``, which processors call, calls the same kernel. Its plain, AVX2 and AVX-512 versions give the same
    bits (measured with ATEN_CPU_CAPABILITY), as does any number of frames at a time and any order of axes in memory.
    """
    import torch  # it costs 3 s and 300 MB in a process that decodes, so only if there is something to downscale
    from torch.nn.functional import interpolate

    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)
    small = interpolate(pixels, size, mode="bicubic", align_corners=False, antialias=True)
    return np.ascontiguousarray(small.permute(0, 2, 3, 1).numpy())
