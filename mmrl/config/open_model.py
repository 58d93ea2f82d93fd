"""From a config's sections to a model, and to what is kept of the media that it encodes."""

import torch

from mmrl.config.open_data import disk_of
from mmrl.config.schema import Config, ModelSection
from mmrl.models.loading import load_policy
from mmrl.models.policy import Policy
from mmrl.models.vision.feature_cache import FeatureCache
from mmrl.runtime.memory_cache import ByteCache


def narrow(section: ModelSection, device: torch.device) -> torch.dtype | None:
    """Choose the type of matrix products where it is narrower than float32, else None."""
    chosen = section.compute_dtype == "bfloat16" or (section.compute_dtype == "auto" and device.type == "cuda")
    return torch.bfloat16 if chosen else None


def policy_of(section: ModelSection, template: str, device: torch.device, temperature: float = 1.0) -> Policy:
    """The model of a section, in float32 masters."""
    return load_policy(
        section.path,
        template,
        temperature=temperature,
        max_logit_bytes=section.max_logit_bytes,
        attention=section.attn_implementation,
        compute=narrow(section, device),
        device="cpu" if section.shard else device,  # whole masters may not fit into the device
        checkpointing=section.gradient_checkpointing,
        video_pixels=section.video_pixels,
        image_pixels=section.image_pixels,
        share_prefix=section.share_prefix == "auto",
    )


def feature_cache(config: Config) -> FeatureCache:
    """Opens the cache of what frozen blocks made of media, in memory and beside it."""
    return FeatureCache(ByteCache(config.model.feature_cache_bytes), disk_of(config.data, "features"))
