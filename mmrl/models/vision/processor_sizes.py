"""Size rules of a model's processors; the processes that decode downscale frames by them."""

import logging
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen2VLImageProcessor, Qwen2VLVideoProcessor, Qwen3VLVideoProcessor
from transformers.image_utils import PILImageResampling

from mmrl.data.media.downscale import downscaled
from mmrl.data.media.frame_size import SizeRule, SizeRules
from mmrl.data.media.video import Clip

logger = logging.getLogger(__name__)
BOUND = {Qwen2VLImageProcessor: "image", Qwen2VLVideoProcessor: "frame", Qwen3VLVideoProcessor: "video"}


def size_rules(processor) -> SizeRules:
    """Return the size rules of a model's video and image processors; None for one that ``downscaled`` cannot reproduce."""
    return SizeRules(verified_rule(processor.video_processor), verified_rule(processor.image_processor))


def rule_of(part) -> SizeRule | None:
    """Return the rule that follows from a processor's type and settings; None if the type is not known."""
    bound = BOUND.get(type(part))
    if bound is None or not part.do_resize or part.resample != PILImageResampling.BICUBIC:
        return None
    least, most = part.size.get("shortest_edge"), part.size.get("longest_edge")
    if not least or not most:  # the processor itself raises an error for this
        return None
    rule = SizeRule(bound, part.patch_size * part.merge_size, least, most)
    return rule if bound == "image" else replace(rule, patch=part.temporal_patch_size, tokens=part.max_video_tokens)


def verified_rule(part) -> SizeRule | None:
    """Return the processor's rule if ``agrees`` confirms it; else log a warning and return None."""
    rule, name = rule_of(part), type(part).__name__
    if rule is None or agrees(part, rule):
        return rule
    logger.warning("%s resizes otherwise than expected: frames are kept as large as in the file", name)
    return None


def agrees(part, rule: SizeRule) -> bool:
    """Return True if the processor's patches of noise are equal with and without downscaling by the rule before.

    The trial uses small bounds, so that it takes milliseconds.
    """
    unit = rule.factor
    rule = replace(rule, least=4 * unit * unit, most=16 * unit * unit)
    noise = np.random.default_rng(0).integers(0, 256, (2, 5 * unit + 3, 9 * unit + 5, 3), np.uint8)
    full = noise[0] if rule.of == "image" else Clip(noise, np.arange(2), np.arange(2) / 2, 2.0, 2, "made")
    small = downscaled(full, rule)
    return small.nbytes < full.nbytes and torch.equal(patches(part, rule, full), patches(part, rule, small))


def patches(part, rule: SizeRule, medium: Clip | np.ndarray) -> Tensor:
    """Cut a medium into patches with a processor, under the rule's bounds."""
    more = {"size": {"shortest_edge": rule.least, "longest_edge": rule.most}, "return_tensors": "pt"}
    if not isinstance(medium, Clip):
        return part(images=[torch.from_numpy(medium).permute(2, 0, 1)], **more)["pixel_values"]
    frames = torch.from_numpy(medium.frames).permute(0, 3, 1, 2)
    more |= {"do_sample_frames": False, "cap_pixels_per_frame": True, "do_resize": medium.rule is None}
    return part(videos=[frames], **more)["pixel_values_videos"]
