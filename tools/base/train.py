"""The four stages: look-ups in text, clean clips, a border that alone explains the answer, faulty demonstrations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from transformers import Qwen2_5_VLForConditionalGeneration

from mmrl.models.families import Grid, positions
from mmrl.models.vision.faster import use_blocks
from mmrl.world.render import SMALL
from mmrl.world.script import SLOTS
from tools.base.clips import Shelf, patches
from tools.base.lessons import WEIGHT, Lesson
from tools.base.model import TOKENS_PER_SECOND

CLIP = Grid("video", SLOTS, 4, 4, seconds=2 / SMALL.fps)
PICTURE = Grid("image", 1, 4, 4)
OPENING = 4  # <|im_start|> user newline <|vision_start|>
ROWS = 64


class Learner:
    """The model and what a step needs."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, shelf: Shelf | None = None):
        self.model, self.shelf = model, shelf
        use_blocks(model.model.visual)
        between = OPENING + CLIP.tokens(2) + 2  # <|vision_end|> <|vision_start|>
        self.spans = [(OPENING, CLIP), (between, PICTURE)]
        self.opening = between + PICTURE.tokens(2)
        self.holes = [*range(OPENING, OPENING + CLIP.tokens(2)), *range(between, self.opening)]

    def forward(self, lessons: Sequence[Lesson]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, targets and weights of all that is learned in a batch; either all lessons have media or none."""
        ids, weights = padded(lessons)
        language = self.model.model.language_model
        embedded = language.embed_tokens(ids)
        media = lessons[0].media is not None
        if media:
            embedded = embedded.clone()
            embedded[:, self.holes] = self.features(lessons).to(embedded.dtype)
        places = self.places(ids.shape[1], media)[:, None].expand(3, *ids.shape)
        hidden = language(inputs_embeds=embedded, position_ids=places, use_cache=False).last_hidden_state
        learned = weights[:, 1:] > 0
        logits = linear(hidden[:, :-1][learned], language.embed_tokens.weight)
        return logits, ids[:, 1:][learned], weights[:, 1:][learned]

    def places(self, length: int, media: bool) -> Tensor:
        """M-RoPE positions ``[3 length]`` of a sequence that opens with a clip and a picture, or of text alone."""
        return positions(length, self.spans if media else [], 2, TOKENS_PER_SECOND)

    def features(self, lessons: Sequence[Lesson]) -> Tensor:
        """Return the tower's features ``[n holes d]``; what several lessons show is seen once."""
        clips = self.seen(self.model.get_video_features, CLIP, self.shelf.clips, [m.media[0] for m in lessons])
        still = self.shelf.pictures[:, None]
        pictures = self.seen(self.model.get_image_features, PICTURE, still, [m.media[1] for m in lessons])
        return torch.cat([clips, pictures], dim=1)

    def seen(self, tower: Callable, grid: Grid, shelf: np.ndarray, wanted: Sequence[int]) -> Tensor:
        """Features ``[n tokens d]`` of shelved frames; an image is a clip of one frame, shown twice."""
        unique, back = np.unique(np.array(wanted), return_inverse=True)
        frames = shelf[unique]
        frames = np.repeat(frames, 2, axis=1) if frames.shape[1] == 1 else frames
        grids = torch.tensor([(grid.frames, grid.height, grid.width)] * len(unique))
        features = tower(patches(frames), grids, return_dict=True).pooler_output
        return torch.stack(list(features))[torch.from_numpy(back)]


def padded(lessons: Sequence[Lesson]) -> tuple[Tensor, Tensor]:
    """Ids and weights ``[n l]``, padded at the right."""
    length = max(len(lesson.ids) for lesson in lessons)
    ids = torch.zeros(len(lessons), length, dtype=torch.long)
    weights = torch.zeros(len(lessons), length)
    for row, lesson in enumerate(lessons):
        ids[row, : len(lesson.ids)] = torch.tensor(lesson.ids)
        weights[row, : len(lesson.weights)] = torch.tensor(lesson.weights)
    return ids, weights


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the recipe."""

    name: str
    steps: int
    rate: float
    batches: Callable[[int], Mapping[str, Sequence[Lesson]]]  # of the step: the batches whose gradients are added
    decay_from: float = 1.0  # of the steps: then the rate falls linearly to a twentieth
    until: float | None = None  # ends the stage once this share of the answers is right in every kind of lesson


def teach(learner: Learner, stage: Stage, tell: Callable[[str], None]) -> None:
    """Run a stage."""
    model = learner.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.0)
    began, right = perf_counter(), {}
    for step in range(stage.steps):
        for group in optimizer.param_groups:
            group["lr"] = stage.rate * pace(step, stage)
        for kind, lessons in stage.batches(step).items():
            logits, targets, weights = learner.forward(lessons)
            loss = (cross_entropy(logits, targets, reduction="none") * weights).sum() / weights.sum()
            loss.backward()
            note(right, kind, (logits.argmax(-1) == targets).float(), weights)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        over = stage.until is not None and min(right.values()) >= stage.until
        if over or step % 50 == 49 or step == stage.steps - 1:
            found = ", ".join(f"{kind} {100 * share:.1f} %" for kind, share in right.items())
            tell(f"{stage.name} {step + 1}/{stage.steps}, {perf_counter() - began:.0f} s: {found}")
        if over:
            return


def note(right: dict[str, float], kind: str, hit: Tensor, weights: Tensor) -> None:
    """Running shares of what is right: of the words that take looking, and of the letters where those are fewer."""
    levels = {kind: weights > 1, f"{kind} letters": weights > WEIGHT} if weights.max() > 1 else {kind: weights > 0}
    for name, chosen in ((name, chosen) for name, chosen in levels.items() if chosen.any()):
        share = hit[chosen].mean().item()
        right[name] = 0.95 * right.get(name, share) + 0.05 * share


def pace(step: int, stage: Stage) -> float:
    """Return the share of the rate: 100 steps of warm-up, a plateau, a linear fall to a twentieth."""
    rest = stage.steps * (1 - stage.decay_from)
    left = max(0.05, (stage.steps - step) / rest) if rest else 1.0
    return min(1.0, (step + 1) / 100, left)
