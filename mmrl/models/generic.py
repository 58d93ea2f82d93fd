"""Models of any other family, to be examined and not to be trained: transformers' own classes, processors and generate.

Everything that decides a text is explicit: the frames are those that mmrl chose, the decoding is the caller's, and the
generation defaults that a checkpoint comes with are not used save for its end tokens. One prompt at a time: processors
differ in what they can batch.
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
from mmrl.models.families import FAMILIES
from mmrl.models.spans import Span, span_mask
from mmrl.models.vision.patches import metadata
from mmrl.types import Example, Media, Message

Choose = Callable[
    [Float[Tensor, "1 v"], int], tuple[Int[Tensor, " 1"], Float[Tensor, " 1"]]
]  # of logits and step: token, logp
ONE_KIND = ("smolvlm", "idefics3")  # whose processors take images or videos, not both: frames are shown as images there


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote."""

    text: str
    tokens: tuple[int, ...]  # the end token included
    logp: tuple[float, ...]  # of each
    finished: bool
    prompt_tokens: int


@dataclass
class Plain:
    """A model of transformers' image-text-to-text classes with its processor."""

    model: nn.Module
    processor: Any
    template: str
    ends: frozenset[int] = field(default_factory=frozenset)  # tokens that end a completion

    def __post_init__(self) -> None:
        self.ends = self.ends or end_tokens(self.model, self.tokenizer)
        pad = self.tokenizer.pad_token_id
        pad = min(self.ends) if pad is None else pad
        self.model.generation_config = GenerationConfig(eos_token_id=sorted(self.ends), pad_token_id=pad)

    @property
    def tokenizer(self) -> Any:
        return self.processor.tokenizer

    @property
    def compute(self) -> torch.dtype:
        """In which the model multiplies: that of its weights."""
        return self.model.dtype

    def text(self, example: Example) -> str:
        """The prompt's text, with a placeholder for each medium."""
        chats = [plain_chat(message) for message in messages(example, self.template)]
        return self.processor.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)

    @torch.no_grad()
    def write(
        self, example: Example, media: Sequence[Clip | np.ndarray], choose: Choose, max_new_tokens: int
    ) -> Written:
        """One completion."""
        inputs = self.inputs(*self.shown(example, media))
        drawn = Drawn(choose)
        made = self.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            logits_processor=LogitsProcessorList([drawn]),
        )
        prompt = inputs["input_ids"].shape[1]
        tokens = made[0, prompt:].tolist()
        return Written(self.decode(tokens), tuple(tokens), tuple(drawn.logp), tokens[-1] in self.ends, prompt)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of a completion, without the end of its turn."""
        kept = tokens[:-1] if len(tokens) and tokens[-1] in self.ends else tokens
        return self.tokenizer.decode(list(kept), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def mask_of(self, tokens: Sequence[int], span: Span) -> list[bool]:
        """Which tokens hold a span of the completion's text."""
        return span_mask(tokens, self.decode, span, len(tokens)).tolist()

    def shown(
        self, example: Example, media: Sequence[Clip | np.ndarray]
    ) -> tuple[Example, Sequence[Clip | np.ndarray]]:
        """Question and media, videos as images where the processor cannot take both kinds."""
        kinds = {medium.kind for medium in example.every_media}
        if self.model.config.model_type in ONE_KIND and len(kinds) > 1:
            return as_images(example, media, self.template)
        return example, media

    def inputs(self, example: Example, media: Sequence[Clip | np.ndarray]) -> dict[str, Tensor]:
        """What the model takes."""
        clips = [medium for medium in media if isinstance(medium, Clip)]
        images = [rearrange(torch.from_numpy(m), "h w c -> c h w") for m in media if not isinstance(m, Clip)]
        videos = [rearrange(torch.from_numpy(clip.frames), "f h w c -> f c h w") for clip in clips]
        made = self.processor(
            text=[self.text(example)],
            images=[images] if images else None,
            videos=videos or None,
            videos_kwargs={"do_sample_frames": False, "video_metadata": list(map(metadata, clips))} if clips else {},
            text_kwargs={"add_special_tokens": False},
            return_tensors="pt",
        )
        tensors = {name: value for name, value in made.items() if isinstance(value, Tensor)}
        moved = {name: value.to(self.model.device) for name, value in tensors.items()}
        return {name: v.to(self.compute) if v.is_floating_point() else v for name, v in moved.items()}


class Drawn(LogitsProcessor):
    """Leaves one token to choose from: the one that ``choose`` draws. Remembers its log-probability."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.logp: list[float] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        token, logp = self.choose(scores, len(self.logp))
        self.logp.append(float(logp))
        return torch.full_like(scores, -torch.inf).scatter(-1, token[:, None], 0.0)


def as_images(example: Example, media: Sequence[Clip | np.ndarray], template: str) -> tuple[Example, list[np.ndarray]]:
    """The question with every frame of its videos as an image in the video's place."""
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


def plain_chat(message: Message) -> dict[str, Any]:
    """A message as chat templates take it."""
    parts = [{"type": p.kind} if isinstance(p, Media) else {"type": "text", "text": p} for p in message.content]
    return {"role": message.role, "content": parts}


def end_tokens(model: nn.Module, tokenizer: Any) -> frozenset[int]:
    """The checkpoint's end tokens, the tokenizer's among them."""
    told = model.generation_config.eos_token_id if model.generation_config is not None else None
    several = told if isinstance(told, list) else [told]
    ends = frozenset(one for one in [*several, tokenizer.eos_token_id] if one is not None)
    if not ends:
        raise ValueError("model: expected an end token in its generation config or tokenizer, found none")
    return ends


def is_plain(path: str | Path) -> bool:
    """Whether mmrl's own sampler does not know the family of a model."""
    return AutoConfig.from_pretrained(path).model_type not in FAMILIES


def load_plain(path: str | Path, template: str, *, compute: torch.dtype, device: torch.device, attention: str) -> Plain:
    """A model to be examined, from a Hugging Face directory or name; safetensors only, no remote code."""
    disable_progress_bar()
    model = AutoModelForImageTextToText.from_pretrained(
        path, dtype=compute, attn_implementation=attention, use_safetensors=True
    )
    try:
        processor = AutoProcessor.from_pretrained(path)
    except ImportError as error:
        raise ImportError(f"model.path: the processor of {path} needs more: {error} (extra: mmrl[eval])") from None
    return Plain(model.to(device).eval(), processor, template)


def check_chat_template(processor: Any, where: str) -> None:
    """Refuse a model that cannot be asked anything."""
    if not (getattr(processor, "chat_template", None) or processor.tokenizer.chat_template):
        raise ValueError(
            f"model.path: {where} has no chat template, so nobody knows how it is asked; "
            "copy chat_template.jinja from the instruction-tuned model that it was made from"
        )
