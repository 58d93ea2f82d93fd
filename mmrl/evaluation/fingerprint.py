"""Every setting that decides what a model writes, so that records of two measurements are never mixed."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
import transformers
from torch import Tensor, nn

import mmrl
from mmrl.config.schema import EvaluationSection
from mmrl.models.generic import Plain
from mmrl.models.policy import Policy
from mmrl.runtime.files import short_hash

CHUNK = 2**22  # elements of a parameter that are hashed at a time
PRIME = 65521


def settings_of(
    section: EvaluationSection, model: Policy | Plain, weights: str, engine: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all that decides the texts, as the plan records it; ``weights`` is the digest of the model's weights."""
    processor = model.processor
    versions = {"mmrl": mmrl.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    return {
        "weights": weights,
        "pixels": [str(processor.video_processor.size), str(processor.image_processor.size)],
        "chat_template": short_hash(str(processor.chat_template or model.tokenizer.chat_template)),
        "reader": section.reader,
        "template": section.template,
        "decoding": asdict(section.decoding),
        "frames": asdict(section.frames),
        "condition": section.condition,
        "seed": section.seed,
        "engine": dict(engine) | versions,
    }


@torch.no_grad()
def digest(model: nn.Module) -> str:
    """A fingerprint of a model's weights: names, shapes, and two sums over the bits of every element, one of them by place."""
    hashed = hashlib.sha256()
    for name, parameter in model.named_parameters():
        hashed.update(f"{name}{tuple(parameter.shape)}{parameter.dtype}{sums(parameter.detach().flatten())}".encode())
    return hashed.hexdigest()[:16]


def sums(flat: Tensor) -> tuple[int, int]:
    """The sum of all elements' bits, and of bits times place (modulo a prime), in wrapping 64-bit integers."""
    kind = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[flat.element_size()]
    plain = placed = 0
    for start in range(0, len(flat), CHUNK):
        bits = flat[start : start + CHUNK].contiguous().view(kind).long()
        places = torch.arange(start, start + len(bits), device=bits.device) % PRIME + 1
        plain, placed = plain + int(bits.sum()), placed + int((bits * places).sum())
    return plain, placed
