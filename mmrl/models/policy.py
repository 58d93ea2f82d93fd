"""The model that is trained: a reader that also builds prompts, tokenises and decodes texts, and saves itself."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mmrl.data.media.video import Clip
from mmrl.models.attention.shared import reason_not_shared, use_shared
from mmrl.models.chat import chat, completion_text, prompt_text
from mmrl.models.families import Grid, family_of, positions
from mmrl.models.logprobs import LogitRules
from mmrl.models.reader import Reader
from mmrl.models.spans import Span, span_mask
from mmrl.models.vision.patches import Vision, patch_media
from mmrl.models.vision.tower import CacheLevel
from mmrl.types import Example, Group, Media, Message, Prompt

logger = logging.getLogger(__name__)
BOUNDS = ("<|vision_start|>", "<|vision_end|>")  # the tokens around a medium
STRUCTURAL = ("<|im_start|>", *BOUNDS, "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")


class Policy(Reader):
    """A Qwen2-VL, Qwen2.5-VL, Qwen3-VL or Qwen3.5 model, or one of a registered family, with its processor."""

    def __init__(
        self,
        model,
        processor,
        template: str,
        temperature: float = 1.0,
        max_logit_bytes: int = 2**28,
        compute: torch.dtype | None = None,
        share_prefix: bool = True,
    ):
        self.processor, self.tokenizer, self.template = processor, processor.tokenizer, template
        self.end = self.tokenizer.eos_token_id
        self.placeholders = (processor.image_token_id, processor.video_token_id)
        expected = (model.config.image_token_id, model.config.video_token_id)
        if self.placeholders != expected:
            raise ValueError(
                f"model.path: expected the processor's image and video tokens to be the model's {expected}, "
                f"found {self.placeholders}; take model and processor from the same directory"
            )
        rules = LogitRules(self.allowed_tokens(model), self.placeholders, temperature, max_logit_bytes)
        super().__init__(model, family_of(model.config.model_type), rules, compute)
        reason = reason_not_shared(self.layers) if share_prefix else None
        if reason is not None:
            logger.warning("model: every completion is read with a copy of its prompt, because %s", reason)
        elif share_prefix:
            use_shared(self.layers)

    @property
    def context(self) -> int:
        """The largest number of positions that the model supports."""
        return self.model.config.get_text_config().max_position_embeddings

    def allowed_tokens(self, model) -> Bool[Tensor, " v"]:
        """Return True for every token but padding, the structural tokens of a chat, and unused rows of the embedding.

        A sampled placeholder would need features that do not exist; an unused row cannot be decoded.
        """
        allowed = torch.zeros(model.get_output_embeddings().weight.shape[0], dtype=torch.bool, device=model.device)
        allowed[: len(self.tokenizer)] = True
        banned = [i for i in self.tokenizer.convert_tokens_to_ids(list(STRUCTURAL)) if i is not None]
        banned += self.placeholders
        if self.tokenizer.pad_token_id not in (None, self.end):
            banned.append(self.tokenizer.pad_token_id)
        allowed[banned] = False
        allowed[self.end] = True
        return allowed

    def prompts(self, examples: Sequence[Example], media: Sequence[Sequence]) -> list[Prompt]:
        """Build a prompt for each example. ``media`` holds, per example, a Clip or an image ``[h w 3]`` for each medium."""
        prompts, config = [], self.model.config.vision_config
        rate = config.tokens_per_second if self.family.tokens_per_second else None
        for example, vision in zip(examples, patch_media(self.processor, media), strict=True):
            tokens, spans = self.tokenise_prompt(example, vision)
            rope = positions(len(tokens), spans, config.spatial_merge_size, rate)
            prompts.append(Prompt(example, tokens, rope, vision if vision.grids else None))
        return prompts

    def tokenise_prompt(self, example: Example, vision: Vision) -> tuple[Int[Tensor, " p"], list[tuple[int, Grid]]]:
        """Return the prompt's tokens, and the first index and the grid of each block of placeholders.

        Raises ValueError if the placeholders in the text do not match the media.
        """
        text = prompt_text(self.processor, example, self.template)
        kinds = dict(zip(self.placeholders, ("image", "video"), strict=True))
        placeholders = [kinds[i] for i in self.ids(text) if i in kinds]
        if placeholders != [grid.kind for grid in vision.grids]:
            raise ValueError(
                f"example {example.id}: expected one placeholder each for {[g.kind for g in vision.grids]}, found {placeholders}; "
                "a question must not hold placeholder tokens, and the chat template must write one per medium"
            )
        tokens, spans, merge = [], [], self.model.config.vision_config.spatial_merge_size
        blocks = iter(vision.grids)
        if self.family.timestamps:
            text = self.with_timestamps(text, [grid.times for grid in vision.grids if grid.kind == "video"])
            blocks = (block for grid in vision.grids for block in [grid.frame] * grid.frames)
        for i in self.ids(text):
            if i in kinds:
                spans.append((len(tokens), next(blocks)))
                tokens += [i] * spans[-1][1].tokens(merge)
            else:
                tokens.append(i)
        return torch.tensor(tokens), spans

    def ids(self, text: str) -> list[int]:
        """Tokenise a text without adding special tokens."""
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def with_timestamps(self, text: str, videos: Sequence[Sequence[float]]) -> str:
        """Replace each video's placeholder by one block per frame: the time in words, then a placeholder between its own bounds.

        The bounds that the template wrote around the video are removed, as in the model authors' release; transformers 5.23
        leaves them. This happens before tokenisation, because one token may hold the end of a word and the start of a time.
        """
        start, end, pad = *BOUNDS, self.processor.video_token
        before, *after = re.split(f"{re.escape(start + pad + end)}|{re.escape(pad)}", text)
        frames = ("".join(f"<{t:.1f} seconds>{start}{pad}{end}" for t in times) for times in videos)
        return before + "".join(video + rest for video, rest in zip(frames, after, strict=True))

    @property
    def generation_prompt(self) -> str:
        """The text with which the chat template opens the model's turn; it belongs to the prompt, not to the completion."""
        question = [chat(Message("user", ("?",)))]
        bare, begun = (
            self.processor.apply_chat_template(question, tokenize=False, add_generation_prompt=begin)
            for begin in (False, True)
        )
        return begun.removeprefix(bare)

    def tokenise_completion(self, completion: str, where: str) -> list[int]:
        """Tokenise a demonstration and append the end token. Raises ValueError if it holds a banned token."""
        ids = [*self.ids(completion), self.end]
        banned = [i for i in ids if not self.rules.allowed[i]]
        if banned:
            names = self.tokenizer.convert_ids_to_tokens(banned)
            raise ValueError(f"{where}: the demonstration holds tokens that no completion may have: {names[:5]}")
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Decode a completion, without the end of its turn."""
        return completion_text(self.tokenizer, tokens, (self.end,))

    def mask_of(self, tokens: Sequence[int], width: int, span: Span | None) -> Bool[Tensor, " t"]:
        """Return a mask of ``width`` tokens: True for those that hold a character of the span of the completion's text."""
        return span_mask(tokens, self.decode, span, width)

    def dummy_group(self, kinds: Iterable[str]) -> Group:
        """Return a dummy group with one token and the smallest media of these kinds; its forward pass runs every layer once.

        It has no media if features are cached, because these exist before ranks must stay in step. If only the projector
        trains, zeros replace the block states of its media, so that only the projector runs.
        """
        kinds = () if self.tower.cache_level == CacheLevel.FEATURES else kinds
        small = {"video": Clip(np.zeros((2, 56, 56, 3), np.uint8), np.arange(2), np.arange(2) / 2, 2.0, 2, "made")}
        small["image"] = small["video"].frames[0]
        shown = tuple(Media(kind, Path("filler")) for kind in sorted(kinds))
        example = Example("filler", "", messages=(Message("user", (*shown, "filler")),))
        (prompt,) = self.prompts([example], [[small[medium.kind] for medium in shown]])
        if self.tower.cache_level == CacheLevel.STATES and shown:
            self.tower.cache_zeros(prompt.vision)
        ones = torch.ones(1, 1, dtype=torch.bool)
        return Group(prompt, torch.tensor([[self.end]]), ones, ~ones, ("",), ones[0])

    def save(self, directory: Path, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write a directory that from_pretrained loads; pass full ``weights`` if the model's own are sharded."""
        self.model.save_pretrained(directory, state_dict=None if weights is None else dict(weights))
        self.processor.save_pretrained(directory)
