"""The settings that decide what a model writes, as its plan records them; records of other settings are refused."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
import transformers

import mmrl
from mmrl.config.schema import EvaluationSection
from mmrl.models.generic import GenericModel
from mmrl.models.policy import Policy
from mmrl.runtime.files import short_hash


def settings_of(section: EvaluationSection, model: Policy | GenericModel, engine: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that decides the texts; ``engine`` is what a sampler says of itself."""
    processor = model.processor
    versions = {"mmrl": mmrl.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    return {
        "weights": model.weights.record(),
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
