"""Models that sample responses to questions whose media are decoded: mmrl's own engine, or transformers' generate."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

from torch import Tensor

from mmrl.evaluation.media_sampler import Media, ResponseSampler
from mmrl.evaluation.records import Completion, Request
from mmrl.models.chat import prompt_text
from mmrl.models.generic import GenericModel
from mmrl.models.policy import Policy
from mmrl.rewards.parse import parse
from mmrl.rollout import Engine
from mmrl.rollout.noise import draw, uniforms
from mmrl.types import Decoding, Example, Group


def sampler_of(
    model: Policy | GenericModel, template: str, decoding: Decoding, max_num_seqs: int
) -> "EngineSampler | GenerateSampler":
    """Return the sampler of a model under a template."""
    if isinstance(model, GenericModel):
        return GenerateSampler(replace(model, template=template), decoding)
    view = copy.copy(model)
    view.template = template
    return EngineSampler(view, Engine(view, decoding, lambda text: parse(text).span, max_num_seqs))


@dataclass(frozen=True, slots=True)
class EngineSampler(ResponseSampler):
    """A policy that answers through mmrl's own engine.

    The samples of a question are neighbours, and share its prompt.
    """

    policy: Policy
    engine: Engine

    def text(self, example: Example) -> str:
        return prompt_text(self.policy.processor, example, self.policy.template)

    def answer(
        self, examples: Sequence[Example], media: Sequence[Media], samples: Sequence[int], seed: int
    ) -> list[Completion]:
        places = [list(each) for _, each in groupby(range(len(examples)), key=lambda i: examples[i].id)]
        prompts = self.policy.prompts([examples[each[0]] for each in places], [media[each[0]] for each in places])
        groups = self.engine.sample(prompts, [[samples[i] for i in each] for each in places], seed)
        return [completion_of(group, row) for group in groups for row in range(len(group))]

    @property
    def facts(self) -> dict[str, Any]:
        """Return the settings of the engine that decide the texts."""
        return {"name": "mmrl", "compute": str(self.policy.compute), "max_num_seqs": self.engine.max_num_seqs}


def completion_of(group: Group, row: int) -> Completion:
    """Return the record of one completion of a group."""
    answer, logprobs = group.answer_mask[row], None
    if group.sampling_logprobs is not None and bool(answer.any()):
        logprobs = float(group.sampling_logprobs[row, answer].sum())
    tokens, finished = int(group.completion_mask[row].sum()), bool(group.finished[row])
    return completion(group.texts[row], tokens, finished, len(group.prompt.tokens), logprobs)


def completion(text: str, tokens: int, finished: bool, prompt_tokens: int, answer_logprob: float | None) -> Completion:
    """Return the record of a text."""
    status = "ok" if finished else "truncated"
    return Completion(text, tokens, finished, status, request=Request("", prompt_tokens), answer_logprob=answer_logprob)


@dataclass(frozen=True, slots=True)
class GenerateSampler(ResponseSampler):
    """A model of another family that answers one prompt at a time by transformers' generate.

    Its noise is mmrl's: a function of (seed, example, sample) alone.
    """

    model: GenericModel
    decoding: Decoding

    def text(self, example: Example) -> str:
        return self.model.text(example)

    def answer(
        self, examples: Sequence[Example], media: Sequence[Media], samples: Sequence[int], seed: int
    ) -> list[Completion]:
        length, completions = self.decoding.max_new_tokens, []
        for example, shown, sample in zip(examples, media, samples, strict=True):
            noise = uniforms(seed, 0, example.id, [sample], length)
            written = self.model.generate(example, shown, partial(choose_token, self.decoding, noise), length)
            span = parse(written.text).span
            mask = self.model.mask_of(written.tokens, span) if span else []
            logprobs = (
                sum(logprobs for logprobs, graded in zip(written.logprobs, mask, strict=False) if graded)
                if any(mask)
                else None
            )
            facts = (written.text, len(written.tokens), written.finished, written.prompt_tokens)
            completions.append(completion(*facts, logprobs))
        return completions

    @property
    def facts(self) -> dict[str, Any]:
        """Return the settings of the engine that decide the texts."""
        return {"name": "transformers.generate", "compute": str(self.model.compute)}


def choose_token(decoding: Decoding, noise: Tensor, logits: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Return the token of a step and its log-probability, before any truncation of the distribution."""
    scaled = logits.float() / decoding.logit_temperature
    if decoding.temperature:
        token = draw(scaled, noise[:, step].to(scaled.device), decoding.top_p)
    else:
        token = scaled.argmax(dim=-1)
    return token, scaled.log_softmax(dim=-1).gather(-1, token[:, None])[:, 0]
