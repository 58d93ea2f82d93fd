"""Models of other families, for evaluation only, with transformers' own classes, processors and ``generate``.

Everything that decides a text is explicit: mmrl chooses the frames, the caller chooses the decoding, and only the end tokens
are used of a checkpoint's generation defaults. Prompts are answered one at a time, because not all processors can batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
)
from transformers.utils.logging import disable_progress_bar

from mmrl.data.media.video import Clip
from mmrl.data.prompts import messages
from mmrl.models.chat import completion_text, prompt_text
from mmrl.models.families import FAMILIES
from mmrl.models.fingerprint import Fingerprint
from mmrl.models.spans import Span, span_mask
from mmrl.models.vision.patches import metadata
from mmrl.types import Example, Media, Message

# maps logits and step to a token and its log-probability
Choose = Callable[[Float[Tensor, "1 v"], int], tuple[Int[Tensor, " 1"], Float[Tensor, " 1"]]]
ONE_KIND = ("smolvlm", "idefics3")  # their processors take images or videos, not both; then frames are shown as images


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """A completion with its tokens."""

    text: str
    tokens: tuple[int, ...]  # the end token included
    logprobs: tuple[float, ...]  # one per token
    finished: bool
    prompt_tokens: int


@dataclass
class GenericModel:
    """A model of transformers' image-text-to-text classes with its processor."""

    model: nn.Module
    processor: Any
    template: str
    ends: frozenset[int] = field(default_factory=frozenset)  # the ids of tokens that end a completion

    def __post_init__(self) -> None:
        self.weights = Fingerprint(self.model)
        self.ends = self.ends or end_tokens(self.model, self.tokenizer)
        pad = self.tokenizer.pad_token_id
        pad = min(self.ends) if pad is None else pad
        self.model.generation_config = GenerationConfig(eos_token_id=sorted(self.ends), pad_token_id=pad)

    @property
    def tokenizer(self) -> Any:
        return self.processor.tokenizer

    @property
    def compute(self) -> torch.dtype:
        """The dtype of the model's matrix products, which is the dtype of its weights."""
        return self.model.dtype

    def text(self, example: Example) -> str:
        """Return the prompt as text, with one placeholder for each medium."""
        return prompt_text(self.processor, example, self.template)

    @torch.no_grad()
    def generate(
        self, example: Example, media: Sequence[Clip | np.ndarray], choose: Choose, max_new_tokens: int
    ) -> GeneratedText:
        """Sample one completion; ``choose`` draws each token."""
        inputs = self.inputs(*self.shown(example, media))
        chooser = Chooser(choose)
        sequences = self.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            logits_processor=LogitsProcessorList([chooser]),
        )
        prompt = inputs["input_ids"].shape[1]
        tokens = sequences[0, prompt:].tolist()
        return GeneratedText(
            self.decode(tokens), tuple(tokens), tuple(chooser.logprobs), tokens[-1] in self.ends, prompt
        )

    def decode(self, tokens: Sequence[int]) -> str:
        """Decode a completion, without the end of its turn."""
        return completion_text(self.tokenizer, tokens, self.ends)

    def mask_of(self, tokens: Sequence[int], span: Span) -> list[bool]:
        """Return one flag per token: True if it holds a character of the span of the completion's text."""
        return span_mask(tokens, self.decode, span, len(tokens)).tolist()

    def shown(
        self, example: Example, media: Sequence[Clip | np.ndarray]
    ) -> tuple[Example, Sequence[Clip | np.ndarray]]:
        """Return question and media; videos become images if there are both kinds and the processor supports one only."""
        kinds = {medium.kind for medium in example.every_media}
        if self.model.config.model_type in ONE_KIND and len(kinds) > 1:
            return as_images(example, media, self.template)
        return example, media

    def inputs(self, example: Example, media: Sequence[Clip | np.ndarray]) -> dict[str, Tensor]:
        """Return the processor's tensors by name, on the model's device."""
        clips = [medium for medium in media if isinstance(medium, Clip)]
        images = [rearrange(torch.from_numpy(m), "h w c -> c h w") for m in media if not isinstance(m, Clip)]
        videos = [rearrange(torch.from_numpy(clip.frames), "f h w c -> f c h w") for clip in clips]
        inputs = self.processor(
            text=[self.text(example)],
            images=[images] if images else None,
            videos=[videos] if videos else None,
            videos_kwargs={"do_sample_frames": False, "video_metadata": list(map(metadata, clips))} if clips else {},
            text_kwargs={"add_special_tokens": False},
            return_tensors="pt",
        )
        tensors = {name: value for name, value in inputs.items() if isinstance(value, Tensor)}
        on_device = {name: value.to(self.model.device) for name, value in tensors.items()}
        return {name: v.to(self.compute) if v.is_floating_point() else v for name, v in on_device.items()}


class Chooser(LogitsProcessor):
    """Mask all tokens but the one that ``choose`` draws, and record its log-probability."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.logprobs: list[float] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        token, logprobs = self.choose(scores, len(self.logprobs))
        self.logprobs.append(float(logprobs))
        return torch.full_like(scores, -torch.inf).scatter(-1, token[:, None], 0.0)


def as_images(example: Example, media: Sequence[Clip | np.ndarray], template: str) -> tuple[Example, list[np.ndarray]]:
    """Replace each video of a question by its frames as images."""
    chat = []
    decoded = iter(media)
    flat: list[np.ndarray] = []
    for message in messages(example, template):
        content: list[str | Media] = []
        for part in message.content:
            if not isinstance(part, Media):
                content.append(part)
                continue
            medium = next(decoded)
            frames = list(medium.frames) if isinstance(medium, Clip) else [medium]
            flat += frames
            content += [Media("image", part.path)] * len(frames)
        chat.append(Message(message.role, tuple(content)))
    return Example(example.id, example.question, example.answer, messages=tuple(chat)), flat


def end_tokens(model: nn.Module, tokenizer: Any) -> frozenset[int]:
    """Return the ids of the checkpoint's and the tokenizer's end tokens. Raises ValueError if there is none."""
    eos = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = eos if isinstance(eos, list) else [eos]
    ends = frozenset(token for token in [*ids, tokenizer.eos_token_id] if token is not None)
    if not ends:
        raise ValueError("model: expected an end token in its generation config or tokenizer, found none")
    return ends


def is_generic(path: str | Path) -> bool:
    """Return True if the model's family is none of those that mmrl trains and samples itself."""
    return AutoConfig.from_pretrained(path).model_type not in FAMILIES


def load_generic(
    path: str | Path, template: str, *, compute: torch.dtype, device: torch.device, attention: str
) -> GenericModel:
    """Load a model for evaluation from a Hugging Face directory or name; safetensors only, no remote code."""
    disable_progress_bar()
    model = AutoModelForImageTextToText.from_pretrained(
        path, dtype=compute, attn_implementation=attention, use_safetensors=True
    )
    try:
        processor = AutoProcessor.from_pretrained(path)
    except ImportError as error:
        raise ImportError(f"model.path: the processor of {path} needs more: {error} (extra: mmrl[eval])") from None
    return GenericModel(model.to(device).eval().requires_grad_(False), processor, template)


def check_chat_template(processor: Any, where: str) -> None:
    """Raise ValueError if a model has no chat template."""
    if not (getattr(processor, "chat_template", None) or processor.tokenizer.chat_template):
        raise ValueError(
            f"model.path: {where} has no chat template, so nobody knows how it is asked; "
            "copy chat_template.jinja from the instruction-tuned model that it was made from"
        )
