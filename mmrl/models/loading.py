"""Load a policy from a directory of Hugging Face files."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from transformers.utils.logging import disable_progress_bar

from mmrl.models.families import family_of
from mmrl.models.policy import Policy
from mmrl.models.transformers_versions import checkpoint_activations
from mmrl.models.vision.faster import use_blocks, use_product


def load_policy(
    path: str | Path,
    template: str,
    *,
    attention: str = "sdpa",
    device: torch.device | str = "cpu",
    checkpointing: bool = False,
    video_pixels: tuple[int, int] | None = None,
    image_pixels: tuple[int, int] | None = None,
    **options: Any,
) -> Policy:
    """Load a policy from a Hugging Face directory or name, with float32 master weights.

    ``video_pixels`` and ``image_pixels`` are the least and most pixels of a frame or image after resizing. ``options`` go to
    Policy. Raises ValueError if files are missing or damaged, or if the family is not supported.
    """
    check_directory(path)
    disable_progress_bar()
    family_of(AutoConfig.from_pretrained(path).model_type)
    try:
        model = AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32, attn_implementation=attention)
    except SafetensorError as error:
        raise ValueError(f"model.path: expected whole weights in {path}, found {error}; copy them again") from None
    processor = AutoProcessor.from_pretrained(path)
    for part, pixels in ((processor.video_processor, video_pixels), (processor.image_processor, image_pixels)):
        if pixels is not None:
            part.size = {"shortest_edge": pixels[0], "longest_edge": pixels[1]}
    model.to(device)
    use_blocks(model.model.visual)
    use_product(model.model.visual)
    if checkpointing:
        checkpoint_activations(model)
    return Policy(model, processor, template, **options)


def check_directory(path: str | Path) -> None:
    """Raise ValueError if a local directory lacks a model's files. A name that is no directory is left to the Hub."""
    path = Path(path)
    if not path.is_dir():
        if path.is_absolute() or str(path).startswith("."):
            raise ValueError(f"model.path: expected a model directory, found nothing at {path}")
        return
    required = {"config.json": "weights' configuration", "tokenizer_config.json": "tokenizer"}
    processors = ("preprocessor_config.json", "processor_config.json")
    missing = [f"{name} ({what})" for name, what in required.items() if not (path / name).exists()]
    if not any((path / name).exists() for name in processors):
        missing.append(f"one of {', '.join(processors)} (processor)")
    if missing:
        raise ValueError(
            f"model.path: {path} lacks {'; '.join(missing)}. Copy them from the model that it was made from, "
            "for example with AutoProcessor.from_pretrained(BASE).save_pretrained(DIR)"
        )
