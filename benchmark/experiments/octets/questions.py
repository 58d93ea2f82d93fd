"""Questions of octets whose clips and pictures are arrays, and mmrl's own sampler asked them, from any first words on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mmrl.data.media.video import Clip
from mmrl.models.policy import Policy
from mmrl.rewards.parse import parse
from mmrl.rollout import Engine
from mmrl.types import Decoding, Example, Media, Prompt
from mmrl.world.annotate import MEMBERS, Presentation, choices, octet_items
from mmrl.world.cues import Cue
from mmrl.world.octet import Octet
from mmrl.world.render import SMALL
from mmrl.world.splits import environment_of, planted_in
from tools.base.clips import Shelf

ROWS = 96  # questions answered at a time
MEDIA = (Media("video", Path("clip.mp4")), Media("image", Path("now.png")))  # what a prompt has a place for


@dataclass(frozen=True, slots=True)
class Question:
    """An item of an octet, and where its clip and its picture are on the shelf."""

    example: Example  # its fields are the row that annotation files have
    clip: int
    picture: int


def questions(
    octets: Sequence[Octet], shelf: Shelf, seed: int, cue: Cue | None = None, test: Sequence[str] = ()
) -> list[Question]:
    """Return the eight items of each octet as a benchmark of this seed has them.

    ``test`` names the axes of the test pool.
    """
    return [one for octet in octets for one in of_octet(octet, shelf, seed, cue, test)]


def of_octet(octet: Octet, shelf: Shelf, seed: int, cue: Cue | None, test: Sequence[str]) -> Iterator[Question]:
    """Yield the items of one."""
    environment = environment_of(seed, octet.group, test)
    looks = [Presentation(environment, tuple(test), planted) for planted in planted_in(octet, cue, seed)]
    for (bits, lamp), look, item in zip(MEMBERS, looks, octet_items(octet, looks, SMALL), strict=True):
        row = item.row
        example = Example(
            id=row["sample_id"],
            question=row["question"],
            answer=row["golden_choice_idx"],
            choices=choices(row),
            media=MEDIA,
            cluster=row["group_id"],
            fields=row,
        )
        yield Question(example, *shelf.pick(octet, bits, lamp, look.cue.border))


def ask(
    policy: Policy,
    shelf: Shelf,
    asked: Sequence[Question],
    decoding: Decoding,
    seed: int,
    begun: Sequence[str] | None = None,
    rows: int = ROWS,
) -> list[str]:
    """Return a completion of each question.

    ``begun`` holds first words that stand whatever the model would have said.
    """
    engine = Engine(policy, decoding, lambda text: parse(text).span, rows)
    begun, texts = begun or [""] * len(asked), []
    for start in range(0, len(asked), rows):
        some, first = asked[start : start + rows], begun[start : start + rows]
        prompts = policy.prompts([one.example for one in some], [seen(shelf, one) for one in some])
        prompts = [going_on(policy, prompt, words) for prompt, words in zip(prompts, first, strict=True)]
        groups = engine.sample(prompts, [[0]] * len(some), seed)
        texts += [words + group.texts[0] for words, group in zip(first, groups, strict=True)]
    return texts


def seen(shelf: Shelf, one: Question) -> tuple[Clip, np.ndarray]:
    """Return what is shown with a question, as a file's reader gives it."""
    frames, count = np.array(shelf.clips[one.clip]), SMALL.frames
    clip = Clip(frames, np.arange(count), np.arange(count) / SMALL.fps, float(SMALL.fps), count, "made")
    return clip, np.array(shelf.pictures[one.picture])


def going_on(policy: Policy, prompt: Prompt, words: str) -> Prompt:
    """Return the prompt with the first words of its completion."""
    return extended(prompt, policy.tokenizer(words, add_special_tokens=False).input_ids)


def extended(prompt: Prompt, ids: Sequence[int]) -> Prompt:
    """Return the prompt with the first tokens of its completion, at the positions that a completion starts from."""
    tokens = torch.tensor(ids, dtype=torch.long)
    places = (torch.arange(len(ids)) + prompt.next_position).expand(3, -1)
    return replace(
        prompt, tokens=torch.cat([prompt.tokens, tokens]), positions=torch.cat([prompt.positions, places], dim=1)
    )
