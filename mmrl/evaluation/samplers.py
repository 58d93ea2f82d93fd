"""A model of another family as the sampler of an evaluation: transformers' generate, with mmrl's keyed noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from mmrl.evaluation.media_sampler import Media
from mmrl.evaluation.records import Completion, Request
from mmrl.models.generic import GenericModel, Written
from mmrl.rewards.parse import parse
from mmrl.rollout.noise import draw, uniforms
from mmrl.types import Decoding, Example


@dataclass(frozen=True, slots=True)
class Generated:
    """A plain model that answers one prompt at a time; its noise is a function of (seed, example, sample) alone."""

    plain: GenericModel
    decoding: Decoding

    def text(self, example: Example) -> str:
        """The prompt's text, with a placeholder for each medium."""
        return self.plain.text(example)

    def answer(
        self, examples: Sequence[Example], media: Sequence[Media], samples: Sequence[int], seed: int
    ) -> list[Completion]:
        """A completion each."""
        length = self.decoding.max_new_tokens
        made = []
        for example, some, sample in zip(examples, media, samples, strict=True):
            noise = uniforms(seed, 0, example.id, [sample], length)
            made.append(self.completion(self.plain.write(example, some, partial(chosen, self.decoding, noise), length)))
        return made

    def completion(self, written: Written) -> Completion:
        """What was written as a completion on record."""
        span = parse(written.text).span
        mask = self.plain.mask_of(written.tokens, span) if span else []
        certain = sum(logp for logp, graded in zip(written.logp, mask, strict=False) if graded)
        return Completion(
            written.text,
            len(written.tokens),
            written.finished,
            "ok" if written.finished else "truncated",
            request=Request("", written.prompt_tokens),
            answer_logp=certain if any(mask) else None,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What of the engine decides the texts."""
        return {"name": "transformers.generate", "compute": str(self.plain.compute)}


def chosen(decoding: Decoding, noise: Tensor, logits: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """The token of a step and its log-probability, before any truncation of the distribution."""
    scaled = logits.float() / decoding.logit_temperature
    if decoding.temperature:
        token = draw(scaled, noise[:, step].to(scaled.device), decoding.top_p)
    else:
        token = scaled.argmax(dim=-1)
    return token, scaled.log_softmax(dim=-1).gather(-1, token[:, None])[:, 0]
