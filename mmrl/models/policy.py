"""The model that learns: a reader that also turns examples into prompts and texts into tokens, and is saved."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mmrl.data.media.video import Clip
from mmrl.data.prompts import messages
from mmrl.models.attention.shared import use_shared, why_not
from mmrl.models.families import Grid, family_of, positions
from mmrl.models.language import Rules
from mmrl.models.reader import Reader
from mmrl.models.spans import Span, span_mask
from mmrl.models.vision.patches import patch_media
from mmrl.models.vision.tower import Vision
from mmrl.types import Example, Group, Media, Message, Prompt

logger = logging.getLogger(__name__)
BOUNDS = ("<|vision_start|>", "<|vision_end|>")  # the tokens around what is seen
STRUCTURAL = ("<|im_start|>", *BOUNDS, "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")


class Policy(Reader):
    """A Qwen2-VL, Qwen2.5-VL, Qwen3-VL or Qwen3.5 with its processor."""

    def __init__(
        self,
        model,
        processor,
        template: str,
        temperature: float = 1.0,
        logit_bytes: int = 2**28,
        compute: torch.dtype | None = None,
        share_prefix: bool = True,
    ):
        self.processor, self.tokenizer, self.template = processor, processor.tokenizer, template
        self.end = self.tokenizer.eos_token_id
        rules = Rules(self.allowed_tokens(model), self.placeholders(), temperature, logit_bytes)
        super().__init__(model, family_of(model.config.model_type), rules, compute)
        self.check_placeholders()
        if share_prefix:
            self.share()
        self.merge = model.config.vision_config.spatial_merge_size
        clocked = self.family.tokens_per_second
        self.tokens_per_second = model.config.vision_config.tokens_per_second if clocked else None

    def share(self) -> None:
        """Compute what a group's rows have in common once, where the architecture allows it; else say why not."""
        if reason := why_not(self.language.layers):
            logger.warning("model: every completion is read with a copy of its prompt, because %s", reason)
        else:
            use_shared(self.language.layers)

    @property
    def context(self) -> int:
        """The most positions that the model was made for."""
        return self.model.config.get_text_config().max_position_embeddings

    def placeholders(self) -> tuple[int, int]:
        """Ids of the image and the video placeholder."""
        return self.processor.image_token_id, self.processor.video_token_id

    def check_placeholders(self) -> None:
        """Refuse a model and a processor that mean different tokens."""
        config = self.model.config
        expected = (config.image_token_id, config.video_token_id)
        if self.placeholders() != expected:
            raise ValueError(
                f"model.path: expected the processor's image and video tokens to be the model's {expected}, "
                f"found {self.placeholders()}; take model and processor from the same directory"
            )

    def allowed_tokens(self, model) -> Bool[Tensor, " v"]:
        """Everything but padding, the tokens that build a chat, and rows of the embedding that no token has.

        A sampled placeholder would ask for features that do not exist; a padded row cannot be decoded.
        """
        allowed = torch.zeros(model.get_output_embeddings().weight.shape[0], dtype=torch.bool, device=model.device)
        allowed[: len(self.tokenizer)] = True
        banned = [i for i in self.tokenizer.convert_tokens_to_ids(list(STRUCTURAL)) if i is not None]
        banned += self.placeholders()
        if self.tokenizer.pad_token_id not in (None, self.end):
            banned.append(self.tokenizer.pad_token_id)
        allowed[banned] = False
        allowed[self.end] = True
        return allowed

    def prompts(self, examples: Sequence[Example], media: Sequence[Sequence]) -> list[Prompt]:
        """Examples as the model reads them. ``media`` holds, per example, a Clip or an image ``[h w 3]`` for each medium."""
        visions = patch_media(self.processor, media)
        made = []
        for example, vision in zip(examples, visions, strict=True):
            tokens, spans = self.tokenise(example, vision)
            places = positions(len(tokens), spans, self.merge, self.tokens_per_second)
            made.append(Prompt(example, tokens, places, vision if vision.grids else None))
        return made

    def tokenise(self, example: Example, vision: Vision) -> tuple[Int[Tensor, " p"], list[tuple[int, Grid]]]:
        """The prompt's tokens, and where each medium's placeholders start."""
        text = self.processor.apply_chat_template(
            [chat(message) for message in messages(example, self.template)], tokenize=False, add_generation_prompt=True
        )
        kinds = dict(zip(self.placeholders(), ("image", "video"), strict=True))
        found = [kinds[i] for i in self.ids(text) if i in kinds]
        if found != [grid.kind for grid in vision.grids]:
            raise ValueError(
                f"example {example.id}: expected one placeholder each for {[g.kind for g in vision.grids]}, found {found}; "
                "a question must not hold placeholder tokens, and the chat template must write one per medium"
            )
        tokens, spans = [], []
        blocks = iter(vision.grids)
        if self.family.timestamps:
            text = self.timed(text, [grid.times for grid in vision.grids if grid.kind == "video"])
            blocks = (block for grid in vision.grids for block in [grid.frame] * grid.frames)
        for i in self.ids(text):
            if i in kinds:
                spans.append((len(tokens), next(blocks)))
                tokens += [i] * spans[-1][1].tokens(self.merge)
            else:
                tokens.append(i)
        return torch.tensor(tokens), spans

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, and of nothing around it."""
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def timed(self, text: str, videos: Sequence[Sequence[float]]) -> str:
        """A prompt with each video told frame by frame: the time in words, and the frame's placeholder in bounds of its own.

        The bounds that the template wrote around the video go, as in the model authors' release; transformers 5.23 leaves
        them. It is done before the text is cut into tokens, as a word's last letters and a time's first may be one.
        """
        start, end, pad = *BOUNDS, self.processor.video_token
        before, *after = re.split(f"{re.escape(start + pad + end)}|{re.escape(pad)}", text)
        told = ("".join(f"<{t:.1f} seconds>{start}{pad}{end}" for t in times) for times in videos)
        return before + "".join(video + rest for video, rest in zip(told, after, strict=True))

    @property
    def opening(self) -> str:
        """What the chat template says in the model's place, so that no completion begins with it."""
        asked = [chat(Message("user", ("?",)))]
        bare, begun = (
            self.processor.apply_chat_template(asked, tokenize=False, add_generation_prompt=begin)
            for begin in (False, True)
        )
        return begun.removeprefix(bare)

    def encode(self, completion: str, where: str) -> list[int]:
        """The tokens of somebody's completion, its end-of-turn token included.

        Raises ValueError where it holds a token that is never sampled.
        """
        ids = [*self.ids(completion), self.end]
        banned = [i for i in ids if not self.rules.allowed[i]]
        if banned:
            names = self.tokenizer.convert_ids_to_tokens(banned)
            raise ValueError(f"{where}: the demonstration holds tokens that no completion may have: {names[:5]}")
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of a completion, without the end of its turn; whatever else was sampled is there to be graded."""
        tokens = tokens[:-1] if len(tokens) and tokens[-1] == self.end else tokens
        return self.tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def mask_of(self, tokens: Sequence[int], width: int, span: Span | None) -> Bool[Tensor, " t"]:
        """The tokens of a span of the completion's text."""
        return span_mask(tokens, self.decode, span, width)

    def filler(self, kinds: Iterable[str]) -> Group:
        """One token about the smallest media of these kinds: something to read that passes through every layer.

        No media where the tower is frozen: what it made of the step's media is there before ranks keep step. Where its
        projector trains, media that only this passes through.
        """
        kinds = () if self.tower.keeps == "features" else kinds
        made = {"video": Clip(np.zeros((2, 56, 56, 3), np.uint8), np.arange(2), np.arange(2) / 2, 2.0, 2, "made")}
        made["image"] = made["video"].frames[0]
        shown = tuple(Media(kind, Path("filler")) for kind in sorted(kinds))
        example = Example("filler", "", messages=(Message("user", (*shown, "filler")),))
        (prompt,) = self.prompts([example], [[made[medium.kind] for medium in shown]])
        if self.tower.keeps == "states" and shown:
            self.tower.pretend(prompt.vision)
        true = torch.ones(1, 1, dtype=torch.bool)
        return Group(prompt, torch.tensor([[self.end]]), true, ~true, ("",), true[0])

    def save(self, directory: Path, weights: Mapping[str, Tensor] | None = None) -> None:
        """A directory that from_pretrained loads; ``weights`` stand for the model's own where these are sharded."""
        self.model.save_pretrained(directory, state_dict=None if weights is None else dict(weights))
        self.processor.save_pretrained(directory)


def chat(message: Message) -> dict:
    """A message as a chat template takes it."""
    parts = [
        {"type": part.kind} if isinstance(part, Media) else {"type": "text", "text": part} for part in message.content
    ]
    return {"role": message.role, "content": parts}
