"""Build a model and its feature cache from a config's sections."""

import torch

from mmrl.config.open_data import disk_of
from mmrl.config.schema import Config, ModelSection
from mmrl.models.loading import load_policy
from mmrl.models.policy import Policy
from mmrl.models.vision.feature_cache import FeatureCache
from mmrl.runtime.memory_cache import ByteCache


def narrow(section: ModelSection, device: torch.device) -> torch.dtype | None:
    """Return the dtype of matrix products if it is narrower than float32, else None."""
    chosen = section.compute_dtype == "bfloat16" or (section.compute_dtype == "auto" and device.type == "cuda")
    return torch.bfloat16 if chosen else None


def policy_of(section: ModelSection, template: str, device: torch.device, temperature: float = 1.0) -> Policy:
    """Load the model of a section, with float32 master weights."""
    return load_policy(
        section.path,
        template,
        temperature=temperature,
        max_logit_bytes=section.max_logit_bytes,
        attention=section.attn_implementation,
        compute=narrow(section, device),
        device="cpu" if section.shard else device,  # unsharded masters may not fit into the device
        checkpointing=section.gradient_checkpointing,
        video_pixels=section.video_pixels,
        image_pixels=section.image_pixels,
        share_prefix=section.share_prefix == "auto",
    )


def feature_cache(config: Config) -> FeatureCache:
    """Return the cache for the outputs of a frozen tower, in memory and, if the config names a folder, on disk."""
    return FeatureCache(ByteCache(config.model.feature_cache_bytes), disk_of(config.data, "features"))
